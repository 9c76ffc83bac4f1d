// Who may import whom, as data; layers.test.ts reads every import line of the project against it.

/** Folder -> folders it may import besides itself. The longest matching folder rules a file. */
export const layers: Readonly<Record<string, readonly string[]>> = {
  'machinery': [],
  'machinery/base': [],
  'machinery/pki': ['machinery/base'],
  'machinery/api': ['machinery/base'],
  'machinery/schema': ['machinery/base', 'machinery/api'],
  'machinery/cel': ['machinery/base', 'machinery/api'],
  'machinery/client': ['machinery/base', 'machinery/api'],
  'machinery/serving': ['machinery/base', 'machinery/client', 'machinery/pki'],
  'apiserver': ['machinery/base', 'machinery/api', 'machinery/schema', 'machinery/cel', 'machinery/pki', 'machinery/stream'],
  'scheduler': ['machinery/base', 'machinery/api', 'machinery/client', 'machinery/serving', 'machinery/cel'],
  'controllers': ['machinery/base', 'machinery/api', 'machinery/client', 'machinery/serving', 'machinery/pki', 'machinery/cel', 'machinery/schema'],
  'node/kubelet': ['machinery/base', 'machinery/api', 'machinery/client', 'machinery/pki', 'machinery/stream'],
  'node/proxy': ['machinery/base', 'machinery/api', 'machinery/client'],
  'node/dns': ['machinery/base', 'machinery/api', 'machinery/client'],
  'machinery/stream': ['machinery/base'],
  'cluster': ['machinery', 'apiserver', 'scheduler', 'controllers', 'node'],
  'conformance': ['machinery', 'cluster'],
  'bench': ['machinery', 'cluster', 'conformance'],
  'soak': ['machinery', 'apiserver', 'cluster', 'bench'],
};

/** Packages that only one place may load, because they are large or because they are that place's secret. */
export const reserved: Readonly<Record<string, readonly string[]>> = {
  'etcd3': ['apiserver/storage/etcd.ts'],
  'dockerode': ['node/kubelet/runtime/dockerode.ts'],
  'express': ['apiserver/server.ts', 'node/kubelet/server'],
};

/** Loaded at run time only here; everywhere else `import type` of them is free and welcome. */
export const typesOnly: Readonly<Record<string, readonly string[]>> = {
  '@kubernetes/client-node': ['conformance', 'machinery/schema/generate.ts'],
};
