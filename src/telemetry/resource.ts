/** Who speaks: the OTLP resource, as opentelemetry-js puts it together (with OTEL_RESOURCE_ATTRIBUTES), as bytes. */
import {
  type DetectedResourceAttributes,
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import {
  ATTRIBUTES_OF,
  AttributeKey,
  blockOf,
  booleanAttribute,
  integerAttribute,
  stringAttribute,
} from './attributes.ts';

export interface ResourceOptions {
  readonly serviceName: string;
  readonly serviceVersion: string;
  readonly instanceId: string;
  readonly processId: number;
}

/** Field 1 (`resource`) of ResourceSpans and ResourceLogs. */
export function resourceBytes(options: ResourceOptions): Buffer {
  const resource = defaultResource()
    .merge(detectResources({ detectors: [envDetector] }))
    .merge(
      resourceFromAttributes({
        'service.name': options.serviceName,
        'service.version': options.serviceVersion,
        'service.instance.id': options.instanceId,
        'process.pid': options.processId,
      }),
    );
  return blockOf((out) => {
    const message = out.begin(1);
    for (const [name, value] of Object.entries<DetectedResourceAttributes[string]>(resource.attributes)) {
      const key = new AttributeKey(name);
      if (typeof value === 'string') stringAttribute(out, ATTRIBUTES_OF.resource, key, value);
      else if (typeof value === 'number') integerAttribute(out, ATTRIBUTES_OF.resource, key, value);
      else if (typeof value === 'boolean') booleanAttribute(out, ATTRIBUTES_OF.resource, key, value);
    }
    out.end(message);
  });
}
