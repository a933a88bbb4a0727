/**
 * What the configuration must know of the methods that are read: their names, and which of them name a model. Derived from the
 * tables that the data plane uses, so that a role cannot name what a call would not find.
 */
import type { MethodRow, ServiceRows } from '../inspection/method-row.ts';
import { type ProtocolName, servicesOf } from '../inspection/protocols.ts';

/** The methods that one tenant's requests are read of. */
export class KnownMethods {
  readonly #services: ReadonlyMap<string, ServiceRows>;

  /** `further`: rows of services that are read by their descriptors. */
  constructor(protocols: readonly ProtocolName[], further: ReadonlyMap<string, ServiceRows> = new Map()) {
    this.#services = new Map([...servicesOf(protocols), ...further]);
  }

  /** `package.Service` of each. */
  get services(): readonly string[] {
    return [...this.#services.keys()];
  }

  /** Short names, which a role may write where only one service has the method. */
  get shortNames(): readonly string[] {
    return [...this.#services.values()].flatMap((rows) => [...rows.keys()]);
  }

  /** A service's method names; undefined: the service is not one of these. */
  methodsOf(service: string): readonly string[] | undefined {
    const rows = this.#services.get(service);
    return rows && [...rows.keys()];
  }

  /** Full names of the methods with this short name. */
  named(short: string): readonly string[] {
    return this.services
      .filter((service) => this.#services.get(service)?.has(short))
      .map((service) => `${service}/${short}`);
  }

  /** Methods of a service that reach beyond the models that a caller may use: a role has to name each of them. */
  sensitiveOf(service: string): readonly string[] {
    return [...(this.#services.get(service) ?? [])].filter(([, row]) => row.sensitive).map(([method]) => method);
  }

  /** Whether a request of this method (`package.Service/Method`) is about a model, so that a role must name models too; `*` has some. */
  readsModel(fullName: string): boolean {
    const slash = fullName.indexOf('/');
    const rows = this.#services.get(fullName.slice(0, slash));
    const method = fullName.slice(slash + 1);
    const reads = (row: MethodRow | undefined) => row !== undefined && (row.plan !== undefined || row.servedModel);
    return method === '*' ? [...(rows?.values() ?? [])].some(reads) : reads(rows?.get(method));
  }
}
