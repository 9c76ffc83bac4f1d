// Which strategy rules which kind, by resource id; a kind that is not listed is stored as it comes.
import type { RegistryOptions } from './registry.ts';
import type { Strategy } from './resource.ts';

export function strategies(_options: RegistryOptions): Record<string, Strategy> {
  return {};
}
