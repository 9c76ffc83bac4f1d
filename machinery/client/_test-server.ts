// A plain HTTP server for the tests of this folder: answers what the test's handler says, on a free loopback port.
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Heard { method: string; url: URL; headers: http.IncomingHttpHeaders; body: string }
export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly heard: Heard[];
}

export async function startTestServer(handle: (heard: Heard, response: http.ServerResponse) => void): Promise<TestServer> {
  const heard: Heard[] = [];
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const entry = { method: request.method ?? '', url: new URL(request.url ?? '/', 'http://x'), headers: request.headers, body };
      heard.push(entry);
      handle(entry, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // listening on TCP
    heard,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function json(response: http.ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}
export function event(type: string, object: unknown): string {
  return `${JSON.stringify({ type, object })}\n`;
}
export function pod(name: string, resourceVersion: string, more: object = {}): object {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'a', uid: `uid-${name}`, resourceVersion, ...more } };
}
export function bookmark(resourceVersion: string, initialEnd = false): string {
  return event('BOOKMARK', { kind: 'Pod', metadata: { resourceVersion, ...(initialEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}) } });
}
