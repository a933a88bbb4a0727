/**
 * Types for the one part of node-forge that we load: its DER layer. The whole of node-forge would cost each worker
 * thread 8 MB and 35 ms more, for cryptography that it must not do (it cannot sign ECDSA; OpenSSL verifies).
 */
declare module 'node-forge/lib/asn1.js' {
  /** One DER element. `value` is a binary string (a char per octet) or the elements of a constructed one. */
  interface Asn1 {
    readonly tagClass: number;
    readonly type: number;
    readonly constructed: boolean;
    readonly value: string | Asn1[];
  }

  interface ByteBuffer {
    getBytes(): string;
  }

  interface ReadOptions {
    readonly strict: boolean;
    readonly parseAllBytes: boolean;
    readonly decodeBitStrings: boolean;
  }

  interface Asn1Layer {
    create(tagClass: number, type: number, constructed: boolean, value: string | readonly Asn1[]): Asn1;
    /** Throws an Error for what is not DER. */
    fromDer(bytes: string, options: ReadOptions): Asn1;
    toDer(element: Asn1): ByteBuffer;
    oidToDer(oid: string): ByteBuffer;
    derToOid(bytes: string): string;
  }

  const layer: Asn1Layer;
  export default layer;
  export type { Asn1 };
}
