// Connect subresources: what passes through to a node's kubelet.
import type { Duplex } from 'node:stream';
import type { RequestState } from '../filters/context.ts';
import { badRequest } from '#machinery/api/status.ts';
import type { ApiDeps } from './api.ts';

export async function serveUpgrade(_deps: ApiDeps, context: RequestState, _socket: Duplex, _head: Buffer): Promise<void> {
  throw badRequest(`${context.info.path} cannot be upgraded`);
}
