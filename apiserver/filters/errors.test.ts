// Answers that no handler gives.
import { expect } from 'chai';
import { PassThrough } from 'node:stream';
import { refuseConnection } from './errors.ts';

describe('refuseConnection()', () => {
  const answerTo = (code: string): { text: string; destroyed: boolean } => {
    const socket = new PassThrough();
    refuseConnection(socket, Object.assign(new Error('no'), { code }));
    return { text: String(socket.read() ?? ''), destroyed: socket.destroyed };
  };
  it('answers garbage with 400', () => {
    expect(answerTo('HPE_INVALID_METHOD').text).to.match(/^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*Connection: close/);
  });
  it('closes a connection that waited too long for a request without an answer', () => {
    expect(answerTo('ERR_HTTP_REQUEST_TIMEOUT')).to.deep.equal({ text: '', destroyed: true });
  });
});
