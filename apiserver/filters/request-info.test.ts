import { expect } from 'chai';
import { requestInfo } from './request-info.ts';

describe('requestInfo()', () => {
  for (const [method, target, expected] of [
    ['GET', '/api/v1/namespaces/a/pods/b', { verb: 'get', namespace: 'a', resource: 'pods', name: 'b', isResourceRequest: true }],
    ['GET', '/api/v1/namespaces/a/pods', { verb: 'list', namespace: 'a', resource: 'pods', name: '' }],
    ['GET', '/api/v1/pods?watch=true', { verb: 'watch', namespace: '', resource: 'pods' }],
    ['GET', '/api/v1/pods?watch=0', { verb: 'list' }],
    ['GET', '/api/v1/pods?fieldSelector=metadata.name%3Dx', { verb: 'list', name: 'x' }],
    ['GET', '/api/v1/pods?fieldSelector=metadata.name%3D..', { verb: 'list', name: '' }],
    ['GET', '/api/v1/namespaces/a', { resource: 'namespaces', name: 'a', namespace: 'a' }],
    ['PUT', '/api/v1/namespaces/a/finalize', { resource: 'namespaces', name: 'a', subresource: 'finalize', verb: 'update' }],
    ['DELETE', '/apis/apps/v1/namespaces/a/deployments', { group: 'apps', verb: 'deletecollection' }],
    ['POST', '/api/v1/namespaces/a/pods/b/exec', { verb: 'create', subresource: 'exec' }],
    ['GET', '/api/v1/nodes/n/proxy/x/y', { subresource: 'proxy', parts: ['x', 'y'] }],
    ['GET', '/api/v1/watch/namespaces/a/pods', { verb: 'watch', namespace: 'a', resource: 'pods' }],
    ['GET', '/apis/apps/v1', { isResourceRequest: false, verb: 'get' }],
    ['GET', '/healthz', { isResourceRequest: false, path: '/healthz' }],
    ['OPTIONS', '/api/v1/pods', { isResourceRequest: true, verb: '' }],
  ] as const) it(`${method} ${target}`, () => {
    const url = new URL(target, 'https://x');
    expect(requestInfo(method, url.pathname, url.searchParams)).to.deep.include(expected);
  });
});
