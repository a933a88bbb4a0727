/** The rows of limits that are constants beside the code that they guard. */
import type { ConstantRow } from './limit-catalog.ts';

export const CONSTANT_ROWS: readonly ConstantRow[] = [
  {
    file: 'src/proxy/proxy-header.ts',
    name: 'MAX_PROXY_HEADER_BYTES',
    attack: 'A load balancer that is not one, and sends a header without end',
    test: ['unit/proxy/proxy-header.test.ts', 'is as long as it may be, and not one octet longer'],
  },
  {
    file: 'src/proxy/refusals.ts',
    name: 'MAX_DISTINCT_PER_SECOND',
    attack: 'A flood of refused connections fills the audit log',
    test: [
      'unit/proxy/refusals.test.ts',
      'of exactly 256 kinds do not overflow',
      'of more than 256 kinds in a second go into one overflow record, and none is lost from the count',
    ],
  },
  {
    file: 'src/proxy/deadlines.ts',
    name: 'LAPSE_GRACE_MS',
    attack:
      'A stream that has lost its credentials, and is kept open by a message without end or a client that does not read',
    test: ['conformance/leases.test.ts', 'amid a message that does not go on, is reset when the grace is over'],
  },
  {
    file: 'src/identity/workload-api.ts',
    name: 'MAX_MESSAGE_BYTES',
    attack: 'An agent that sends a message without end',
    test: ['unit/identity/workload-api.test.ts', 'may send a message of the limit, and not one byte more'],
  },
  {
    file: 'src/identity/x509-svid.ts',
    name: 'MAX_SVIDS',
    attack: 'The same, by certificates to parse',
    test: ['unit/identity/x509-svid.test.ts', 'is one of as many as there may be, and not one more'],
  },
  {
    file: 'src/identity/x509-svid.ts',
    name: 'MAX_BUNDLE_CERTIFICATES',
    attack: 'The same, by a federated trust domain through its own authorities',
    test: ['unit/identity/x509-svid.test.ts', 'are as many as there may be, and not one more'],
  },
  {
    file: 'src/buffers/ceiling.ts',
    name: 'MAX_SHED_AT_ONCE',
    attack: 'So many calls to end at once that others wait for it',
    test: [
      'unit/buffers/ceiling.test.ts',
      'ends a few hundred calls in one go, and the rest after others have had their turn',
    ],
  },
  {
    file: 'src/config/schema-denied.ts',
    name: 'MAX_DENIED',
    attack: 'A deny list that grows for ever, and goes to every worker with every change',
    test: ['unit/config/denied.test.ts', 'of %i entries is refused: %s'],
  },
  {
    file: 'src/config/schema-egress.ts',
    name: 'MAX_EGRESS_LISTENERS',
    attack: 'A mistake that binds ports without end',
    test: ['unit/config/egress.test.ts', 'takes as many listeners as there may be, and not one more'],
  },
  {
    file: 'src/proxy/egress-methods.ts',
    name: 'MAX_EGRESS_METHODS',
    attack: 'Method names without end fill memory and metrics',
    test: ['unit/proxy/egress-methods.test.ts', 'are as many as may be told apart, and not one more'],
  },
  {
    file: 'src/proxy/egress-methods.ts',
    name: 'MAX_EGRESS_METHOD_LENGTH',
    attack: 'The same, with few long names',
    test: ['unit/proxy/egress-methods.test.ts', 'have names as long as may be kept, and not one character longer'],
  },
  {
    file: 'src/proxy/health-answer.ts',
    name: 'MAX_HEALTH_MESSAGE_BYTES',
    attack: 'A model server that answers a health check without end',
    test: ['unit/proxy/health-answer.test.ts', 'may be as long as the limit, and not one byte longer'],
  },
  {
    file: 'src/proxy/health-answer.ts',
    name: 'MAX_HEALTH_MESSAGES',
    attack: 'The same, word after word',
    test: ['unit/proxy/health-answer.test.ts', 'may have as many messages as the limit, and not one more'],
  },
  {
    file: 'src/proxy/header-fate.ts',
    name: 'MAX_REMEMBERED_NAMES',
    attack: 'Header names without end fill the memory',
    test: ['unit/proxy/header-fate.test.ts', 'remembers as many names as it may, and not one more'],
  },
  {
    file: 'src/http2/hpack-decoder.ts',
    name: 'DEFAULT_TABLE_BYTES',
    attack: "A client's compression table takes what it likes",
    test: [
      'unit/http2/hpack.test.ts',
      'may be announced with %i octets: %s',
      'holds 4,096 octets, and what does not fit is gone',
    ],
  },
  {
    file: 'src/http2/hpack-decoder.ts',
    name: 'MAX_LIST_EXCESS',
    attack: 'HPACK bombs that are refused one after the other, each decoded to its end',
    test: [
      'unit/http2/limits.test.ts',
      'refuse a list up to so many times its limit, keep the tables in step, and end the connection beyond',
    ],
  },
  {
    file: 'src/http2/inbound.ts',
    name: 'THROWN_AWAY_PER_TURN',
    attack: 'Rapid reset and MadeYouReset below their limits, felt by other tenants of the thread',
    test: [
      'unit/http2/throwaway-turns.test.ts',
      'of streams that are thrown away ten are done before it is others’ turn, and the rest after it',
    ],
  },
  {
    file: 'src/proxy/relayed-call.ts',
    name: 'MAX_HEARD_BYTES',
    attack: 'A request that is no gRPC, without end',
    test: ['conformance/not-grpc.test.ts', 'is heard out up to a limit, and told so at one byte more'],
  },
  {
    file: 'src/proxy/replay.ts',
    name: 'MAX_SLABS',
    attack: 'What is kept to be sent again fills the memory',
    test: ['unit/proxy/replay.test.ts', 'is bounded, %s: the call that is in it for longest is given up'],
  },
  {
    file: 'src/authn/strict-json.ts',
    name: 'MAX_DEPTH',
    counts: 'Levels of objects and lists in a token.',
    attack: 'A token that nests until the stack ends',
    test: ['unit/authn/compact-jws.test.ts', 'sixteen levels are read, seventeen are not'],
  },
  {
    file: 'src/authn/token-claims.ts',
    name: 'MAX_NAME_LENGTH',
    attack: 'Callers whose names fill the log',
    test: ['unit/authn/token-claims.test.ts', 'a subject of 256 characters', 'sub is not a name'],
  },
  {
    file: 'src/admin/server.ts',
    name: 'MAX_CONNECTIONS',
    attack: 'Connections to the admin port without end',
    test: ['unit/admin/server.test.ts', 'takes 64 connections at once, and not one more'],
  },
  {
    file: 'src/runtime/configuration-warnings.ts',
    name: 'MAX_LOGGED_WARNINGS',
    attack: 'A mistake in ten thousand tenants’ files fills the log at each reload',
    test: [
      'unit/runtime/configuration-warnings.test.ts',
      'as many as the limit are logged one by one, and of more their number',
    ],
  },
  {
    file: 'src/config/shadowed-roles.ts',
    name: 'MAX_COMPARISONS',
    attack: 'A file whose roles take minutes to be compared each with each, at each reload',
    test: ['unit/config/shadowed-roles.test.ts', 'a file that is made to be compared without end is not'],
  },
  {
    file: 'src/runtime/health-board.ts',
    name: 'MAX_CHANGES_TOLD',
    attack: 'Model servers that change their health all at once, again and again, fill the logs',
    test: [
      'unit/runtime/health-board.test.ts',
      'tells as many changes at once as the limit one by one, and counts the rest',
    ],
  },
  {
    file: 'src/quota/shared-state.ts',
    name: 'MAX_CALLER_SLOTS',
    counts: "Places in a tenant's table of callers; half may be taken, the callers after them share one bucket.",
    attack: 'Callers without end, to forget the debt of one',
    test: ['unit/quota/caller-buckets.test.ts', 'hold n callers, and send caller n + 1 to the overflow bucket'],
  },
  {
    file: 'src/quota/limit-cells.ts',
    name: 'SET_WAYS',
    counts:
      'Callers or models that fit into one of the 512 sets (fewer with more than 900 tenants) in which a tenant’s limits keep them; those without a place share one measure.',
    attack: 'Callers or model names without end, to have the use of one forgotten',
    test: [
      'unit/quota/limit-set.test.ts',
      'leaves those that are known their use, and the ones without a place the measure of one',
    ],
  },
  {
    file: 'src/quota/limit-set.ts',
    name: 'MAX_REMEMBERED_MODELS',
    attack: 'A stream that names models without end fills the memory',
    test: [
      'unit/quota/limit-set.test.ts',
      'is remembered for 64 models of one call, and then the first is paid for again',
    ],
  },
  {
    file: 'src/config/schema-quota.ts',
    name: 'MAX_LIMITS',
    attack: 'A call that looks at limits without end',
    test: ['unit/config/quota.test.ts', 'may be 16, and not 17'],
  },
  {
    file: 'src/config/schema-quota.ts',
    name: 'MAX_ORGANISATIONS',
    attack: 'Organisations for which there is no room in the shared tables',
    test: ['unit/config/quota.test.ts', 'may be one of 128, and not of 129'],
  },
  {
    file: 'src/buffers/slabs.ts',
    name: 'MAX_IDLE_SLABS_PER_TENANT',
    attack: 'Memory that one burst has claimed stays claimed',
    test: ['unit/buffers/slabs.test.ts', 'are kept up to n, and n + 1 goes to the reserve'],
  },
  {
    file: 'src/authn/claim-path.ts',
    name: 'MAX_CLAIM_PATH_LENGTH',
    attack: 'A rule whose path of a claim fills memory and records',
    test: ['unit/authn/claim-path.test.ts', 'has a longest and a deepest'],
  },
  {
    file: 'src/authn/claim-path.ts',
    name: 'MAX_CLAIM_PATH_STEPS',
    attack: 'A path that is followed for long in every new token',
    test: ['unit/authn/claim-path.test.ts', 'has a longest and a deepest'],
  },
  {
    file: 'src/authz/authorizer.ts',
    name: 'MAX_REMEMBERED',
    attack: 'Model names without end fill the memory',
    test: [
      'unit/authz/authorizer.test.ts',
      'is remembered for 256 models and versions, and then the oldest is forgotten',
    ],
  },
  {
    file: 'src/authz/authorizer.ts',
    name: 'MAX_REMEMBERED_LENGTH',
    attack: 'Long model names fill the memory',
    test: ['unit/authz/authorizer.test.ts', 'is remembered for names of 256 characters and not of 257'],
  },
  {
    file: 'src/protobuf/scanner.ts',
    name: 'MAX_CAPTURED_BYTES',
    attack: 'A model name of a gigabyte',
    test: ['unit/protobuf/scanner.test.ts', 'captures as many bytes as the limit and not one more'],
  },
  {
    file: 'src/protobuf/nesting.ts',
    name: 'MAX_NESTING',
    attack: 'Messages in messages until the stack ends',
    test: ['unit/protobuf/scanner.test.ts', 'nests as deep as the limit and not one deeper'],
  },
  {
    file: 'src/protobuf/findings.ts',
    name: 'MAX_TARGETS',
    attack: 'One message that names a million models',
    test: ['unit/inspection/message-inspector.test.ts', 'names as many models as the limit and not one more'],
  },
  {
    file: 'src/protobuf/name-edits.ts',
    name: 'MAX_NAMES',
    attack: 'A small message that grows a hundredfold by the prefixes of its names',
    test: ['unit/protobuf/name-edits.test.ts', 'may have as many names as the limit and not one more'],
  },
  {
    file: 'src/protobuf/name-edits.ts',
    name: 'MAX_SCOPED_INTEGERS',
    attack: 'A small message with a thousand sequence numbers, each of which takes as long as a call',
    test: ['unit/protobuf/name-edits.test.ts', 'may have as many numbers of sequences as the limit and not one more'],
  },
  {
    file: 'src/inspection/protoset.ts',
    name: 'MAX_DESCRIPTOR_BYTES',
    attack: 'A descriptor set that takes minutes to read',
    test: ['unit/inspection/protoset.test.ts', 'may be as large as the limit and not one byte larger'],
  },
  {
    file: 'src/inspection/protoset.ts',
    name: 'MAX_DESCRIPTOR_FILES',
    attack: 'A hundred thousand empty files, each looked for in all',
    test: ['unit/inspection/protoset.test.ts', 'may have as many files as the limit and not one more'],
  },
  {
    file: 'src/inspection/protoset-path.ts',
    name: 'MAX_REQUEST_TYPES',
    attack: 'Types in types until the stack ends',
    test: ['unit/inspection/protoset.test.ts', 'may have requests of as many types as the limit and not one more'],
  },
  {
    file: 'src/inspection/method-table.ts',
    name: 'MAX_OPAQUE_ENTRIES',
    attack: 'Method names without end fill the memory',
    test: [
      'unit/inspection/method-table.test.ts',
      'is remembered for as many opaque methods as the bound, and still served above',
    ],
  },
  {
    file: 'src/inspection/method-table.ts',
    name: 'MAX_OPAQUE_METHOD_LENGTH',
    attack: 'Long method names fill memory and log',
    test: ['unit/inspection/method-table.test.ts', 'of an opaque method may be as long as the bound'],
  },
  {
    file: 'src/identity/spiffe-id.ts',
    name: 'MAX_ID_LENGTH',
    attack: 'A certificate whose name fills the log',
    test: [
      'unit/identity/spiffe-id.test.ts',
      'an id of 2048 bytes is one, of 2049 none; a trust domain of 255 is one, of 256 none',
    ],
  },
  {
    file: 'src/telemetry/metrics.ts',
    name: 'MAX_METHODS_PER_TENANT',
    attack: 'Series without end (metric cardinality)',
    test: [
      'unit/telemetry/metrics.test.ts',
      'keeps the most methods and reasons apart, and gathers one more as _overflow',
    ],
  },
  {
    file: 'src/telemetry/metrics.ts',
    name: 'MAX_REASONS',
    attack: 'Series without end (metric cardinality)',
    test: [
      'unit/telemetry/metrics.test.ts',
      'keeps the most methods and reasons apart, and gathers one more as _overflow',
    ],
  },
  {
    file: 'src/telemetry/metrics-registry.ts',
    name: 'MAX_TENANTS',
    attack: 'Series without end (metric cardinality)',
    test: [
      'unit/telemetry/metrics.test.ts',
      'gives the most tenants series of their own, and gathers one more as _overflow',
    ],
  },
  {
    file: 'src/audit/codec.ts',
    name: 'MAX_TEXT_CHARS',
    attack: 'Texts that the peer chooses fill the log',
    test: ['unit/audit/codec.test.ts', 'keeps a text of the most characters, and cuts one with one more'],
  },
  {
    file: 'src/audit/log.ts',
    name: 'MAX_HELD_BYTES',
    attack: 'Memory follows a full disk',
    test: ['unit/audit/log.test.ts', 'counts what is more than memory is set aside for, and says so in the chain'],
  },
  {
    file: 'src/admin/server.ts',
    name: 'MAX_HEADER_BYTES',
    attack: 'Headers without end at the admin port',
    test: ['unit/admin/server.test.ts', 'takes headers shorter than 8 KiB, and refuses one byte more'],
  },
  {
    file: 'src/identity/chain.ts',
    name: 'MAX_CHAIN',
    attack: 'A chain of certificates without end, each to be verified',
    test: ['unit/identity/peer.test.ts', 'is as long as it may be, and not one certificate longer'],
  },
  {
    file: 'src/identity/chain.ts',
    name: 'MAX_CLOCK_LAG_MS',
    attack:
      "A certificate from the future; without any, one that is new when the machine's clock was set forward is refused",
    test: [
      'unit/identity/peer.test.ts',
      'a certificate counts until its notAfter, and from its notBefore on, less what our clock may be behind',
    ],
  },
  {
    file: 'src/identity/peer.ts',
    name: 'MAX_SERIAL_OCTETS',
    attack: 'Serial numbers that other programs cut off, so that two certificates become one',
    counts: 'Octets of a client certificate’s serial number (RFC 5280 §4.1.2.2).',
    test: ['unit/identity/peer.test.ts', 'a serial number has at most 20 octets'],
  },
  {
    file: 'src/identity/key-strength.ts',
    name: 'MIN_RSA_BITS',
    attack: 'A key that can be factored',
    test: ['unit/identity/key-strength.test.ts', 'RSA has its bounds'],
  },
  {
    file: 'src/identity/key-strength.ts',
    name: 'MAX_RSA_BITS',
    attack: 'Keys that take a second to verify with',
    test: ['unit/identity/key-strength.test.ts', 'RSA has its bounds'],
  },
  {
    file: 'src/identity/signing-request.ts',
    name: 'MAX_SIGNING_REQUEST_BYTES',
    attack: 'A signing request that is really something else',
    test: ['unit/identity/signing-request.test.ts', 'that is none, or is too large'],
  },
  {
    file: 'src/config/document.ts',
    name: 'MAX_ALIASES',
    attack: 'YAML that expands without end',
    test: [
      'unit/config/tenant-findings.test.ts',
      'places of one anchor',
      'may have as many %s as the limit says, and not one more',
    ],
  },
  {
    file: 'src/config/file-cache.ts',
    name: 'MAX_FILE_BYTES',
    attack: 'A path that names a device or an image',
    test: ['unit/config/tenant-findings.test.ts', 'may have as many %s as the limit says, and not one more'],
  },
];
