// What can be switched on and off, and upstream's words for what cannot.
import { expect } from 'chai';
import { resourceId } from './resource.ts';
import { builtinRows } from './registry.ts';
import { checkRuntimeConfig, parseRuntimeConfig } from './runtime-config.ts';

const served = (...entries: string[]): Set<string> => new Set(builtinRows({ runtimeConfig: parseRuntimeConfig(entries) }).filter((row) => !row.unserved).map((row) => `${resourceId(row)}/${row.version}`));

describe('builtinRows() by runtimeConfig', () => {
  it('serves stable versions only unless asked', () => {
    expect([...served()].filter((one) => /(alpha|beta)\d+$/.test(one))).to.deep.equal([]);
  });
  const cases: [entries: string[], on: string[], off: string[]][] = [
    [['storage.k8s.io/v1beta1=true'], ['volumeattributesclasses.storage.k8s.io/v1beta1', 'volumeattributesclasses.storage.k8s.io/v1'], ['ipaddresses.networking.k8s.io/v1beta1']],
    [['networking.k8s.io/v1beta1/ipaddresses'], ['ipaddresses.networking.k8s.io/v1beta1'], ['servicecidrs.networking.k8s.io/v1beta1']],
    [['api/beta=true'], ['resourceclaims.resource.k8s.io/v1beta2', 'mutatingadmissionpolicies.admissionregistration.k8s.io/v1beta1'], ['mutatingadmissionpolicies.admissionregistration.k8s.io/v1alpha1']],
    [['api/all=true', 'api/alpha=false'], ['servicecidrs.networking.k8s.io/v1beta1'], ['mutatingadmissionpolicies.admissionregistration.k8s.io/v1alpha1']],
    [['coordination.k8s.io/v1alpha2=true'], ['leasecandidates.coordination.k8s.io/v1alpha2'], ['leasecandidates.coordination.k8s.io/v1beta1']],
    [['resource.k8s.io/v1beta1=true', 'resource.k8s.io/v1=false'], ['resourceclaims.resource.k8s.io/v1beta1'], ['resourceclaims.resource.k8s.io/v1', 'resourceclaims.resource.k8s.io/v1beta2']],
    [['autoscaling/v2=false'], ['horizontalpodautoscalers.autoscaling/v1'], ['horizontalpodautoscalers.autoscaling/v2']],
    [['api/all=true'], ['devicetaintrules.resource.k8s.io/v1alpha3', 'devicetaintrules.resource.k8s.io/v1beta2', 'storageversions.internal.apiserver.k8s.io/v1alpha1'], ['clustertrustbundles.certificates.k8s.io/v1beta1']],
    [['batch/v1=false'], ['deployments.apps/v1'], ['jobs.batch/v1', 'cronjobs.batch/v1']],
    [['apps/v1/daemonsets=false'], ['deployments.apps/v1'], ['daemonsets.apps/v1']],
    [['api/all=false', 'apps/v1=true'], ['deployments.apps/v1'], ['jobs.batch/v1']],
  ];
  for (const [entries, on, off] of cases) it(entries.join(','), () => {
    const rows = served(...entries);
    for (const one of on) expect(rows.has(one), one).to.equal(true);
    for (const one of off) expect(rows.has(one), one).to.equal(false);
  });
});

describe('checkRuntimeConfig()', () => {
  const cases: [entries: string[], error: string][] = [
    [['api/all=false'], 'invalid runtime-config with only api/all=false'],
    [['api/beta=yes'], 'invalid value api/beta=yes'],
    [['apps/v7=true'], 'group version apps/v7 that has not been registered'],
    [['apps/v1=maybe'], 'invalid value of apps/v1: maybe, err: strconv.ParseBool: parsing "maybe": invalid syntax'],
    [['apps/v1/Deployments=false'], 'invalid key apps/v1/Deployments: group/version/resource and resource is always lowercase plural, not "Deployments"'],
    [['apps=true'], 'runtime-config invalid key apps'],
    [['zoo/v1=true', 'abc/v1=true'], 'unknown api groups abc,zoo'],
  ];
  for (const [entries, error] of cases) it(`refuses ${entries.join(',')}`, () => expect(() => checkRuntimeConfig(parseRuntimeConfig(entries))).to.throw(error));
  it('takes versions that have become empty', () => checkRuntimeConfig(parseRuntimeConfig(['flowcontrol.apiserver.k8s.io/v1beta3=true', 'certificates.k8s.io/v1beta1=true'])));
});
