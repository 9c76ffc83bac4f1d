// What a configuration file may say of extenders.
import { isExtendedResource } from '#machinery/api/names.ts';
import { qualifiedNameErrors } from '#machinery/api/names.ts';
import type { Section } from './config-section.ts';
import type { ExtenderConfig, ExtenderTls } from './extender.ts';

export function readExtenders(top: Section): ExtenderConfig[] {
  const resources = new Set<string>();
  const extenders = top.sections('extenders').map((section) => readExtender(section, resources));
  const binders = extenders.filter(({ bindVerb }) => bindVerb !== '').length;
  if (binders > 1) top.invalid('extenders', `found ${binders} extenders implementing bind`, 'only one extender can implement bind');
  return extenders;
}

function readExtender(section: Section, known: Set<string>): ExtenderConfig {
  const read = {
    urlPrefix: section.string('urlPrefix', ''),
    filterVerb: section.string('filterVerb', ''), prioritizeVerb: section.string('prioritizeVerb', ''),
    preemptVerb: section.string('preemptVerb', ''), bindVerb: section.string('bindVerb', ''),
    weight: section.number('weight', 0),
    enableHttps: section.boolean('enableHTTPS', false),
    tls: readTls(section.section('tlsConfig')),
    timeoutMs: section.durationMs('httpTimeout', 0) || 5_000,
    nodeCacheCapable: section.boolean('nodeCacheCapable', false),
    managedResources: section.sections('managedResources').map((entry) => readResource(entry, known)),
    ignorable: section.boolean('ignorable', false),
  };
  if (!URL.canParse(read.urlPrefix) || !/^https?:$/.test(new URL(read.urlPrefix).protocol)) section.invalid('urlPrefix', read.urlPrefix, 'must be an http or https URL');
  if (read.prioritizeVerb !== '' && read.weight <= 0) section.invalid('weight', read.weight, 'must have a positive weight applied to it');
  section.done();
  return read;
}

function readResource(section: Section, known: Set<string>): ExtenderConfig['managedResources'][number] {
  const name = section.string('name', '');
  const errors = qualifiedNameErrors(name);
  for (const error of errors) section.invalid('name', name, error);
  if (errors.length === 0 && !isExtendedResource(name)) section.invalid('name', name, 'is an invalid extended resource name');
  if (known.has(name)) section.invalid('name', name, 'duplicate extender managed resource name');
  known.add(name);
  const ignoredByScheduler = section.boolean('ignoredByScheduler', false);
  section.done();
  return { name, ignoredByScheduler };
}

function readTls(section: Section): ExtenderTls {
  const data = (name: string): string => Buffer.from(section.string(name, ''), 'base64').toString();
  const tls = {
    insecure: section.boolean('insecure', false), serverName: section.string('serverName', ''),
    certFile: section.string('certFile', ''), keyFile: section.string('keyFile', ''), caFile: section.string('caFile', ''),
    certData: data('certData'), keyData: data('keyData'), caData: data('caData'),
  };
  section.done();
  return tls;
}
