// Every soak run, in the order in which they are listed.
import type { Soak } from './soak.ts';

export const soaks: readonly Soak[] = [];
