// For tests: a webhook that really listens, with certificates for every name that configurations use, and whose answer each test sets.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { KubeObject } from '#machinery/api/object.ts';
import { createCa, issueCertificate } from '#machinery/pki/pki.ts';

export interface Review { apiVersion: string; kind: string; request: Record<string, unknown> & { uid: string; object: KubeObject | null; oldObject: KubeObject | null } }
export interface Asked { path: string; review: Review; headers: IncomingMessage['headers'] }
/** A response (without uid), a whole body as text, or whoever writes one. */
export type Answer = Record<string, unknown> | string | ((response: ServerResponse, asked: Asked) => void);

export interface TestWebhook {
  readonly port: number;
  /** In base64, as configurations have it. */
  readonly caBundle: string;
  readonly otherCaBundle: string;
  readonly asked: Asked[];
  /** TCP connections so far. */
  readonly connections: () => number;
  /** Those that are open now. */
  open(): Promise<number>;
  /** By path; what a path does not say is allowed. */
  answers: Record<string, (asked: Asked) => Answer>;
  url(path: string): string;
  stop(): Promise<void>;
}

export async function startTestWebhook(): Promise<TestWebhook> {
  const [ca, other] = await Promise.all([createCa('webhook-ca'), createCa('other-ca')]);
  const serving = await issueCertificate(ca, { commonName: 'webhook', usages: ['server'], dnsNames: ['localhost', 'hook.default.svc'], ips: ['127.0.0.1'] });
  let connections = 0;
  const server = createServer({ cert: serving.cert, key: serving.key }, (request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const review = JSON.parse(Buffer.concat(parts).toString()) as Review; // what the API server sends
      const asked = { path: request.url ?? '', review, headers: request.headers };
      webhook.asked.push(asked);
      const answer = webhook.answers[asked.path.split('?')[0] ?? '']?.(asked) ?? { allowed: true };
      if (typeof answer === 'function') return answer(response, asked);
      response.setHeader('Content-Type', 'application/json');
      response.end(typeof answer === 'string' ? answer : JSON.stringify({ apiVersion: review.apiVersion, kind: 'AdmissionReview', response: { uid: review.request.uid, ...answer } }));
    });
  });
  server.on('secureConnection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const encode = (pem: string): string => Buffer.from(pem).toString('base64');
  const webhook: TestWebhook = {
    port, caBundle: encode(ca.cert), otherCaBundle: encode(other.cert), asked: [], connections: () => connections, answers: {},
    open: () => new Promise((resolve, reject) => server.getConnections((error, open) => (error ? reject(error) : resolve(open)))),
    url: (path) => `https://127.0.0.1:${port}${path}`,
    async stop() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return webhook;
}

/** A JSON patch as a webhook returns it. */
export const patchOf = (...operations: unknown[]): Record<string, unknown> => ({ allowed: true, patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(operations)).toString('base64') });
