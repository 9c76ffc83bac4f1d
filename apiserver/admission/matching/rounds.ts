// Who is asked again in the second round: those that asked for it and have not seen what came after them. The same for webhooks and
// policies. Upstream: the two reinvocationcontext.go below apiserver/pkg/admission/plugin.
import type { KubeObject } from '#machinery/api/object.ts';
import { copyJson } from '../../patch/json-value.ts';
import { same } from '../../resources/values.ts';
import type { Reinvocation } from '../admission.ts';

export interface Rounds {
  /** Before the first call of a round. */
  begin(object: Readonly<KubeObject> | undefined): void;
  isTurnOf(id: string): boolean;
  /** Somebody changed the object: those called before have to see it. */
  changed(): void;
  /** Called, and wants to be called again. */
  called(id: string): void;
  end(object: Readonly<KubeObject> | undefined): void;
}

export function roundsOf(reinvocation: Reinvocation, plugin: string): Rounds {
  const known = reinvocation.state.get(plugin) as Rounds | undefined; // only ever set here
  if (known) return known;
  let output: Readonly<KubeObject> | undefined;
  const before = new Set<string>();
  const again = new Set<string>();
  const callAgain = (): void => {
    for (const id of before) again.add(id);
    before.clear();
  };
  const rounds: Rounds = {
    begin(object) {
      // Other plugins changed it in their second turn.
      if (reinvocation.round === 1 && !same(output, object)) callAgain();
    },
    isTurnOf: (id) => reinvocation.round === 0 || again.has(id),
    changed() {
      callAgain();
      reinvocation.wanted = true;
    },
    called: (id) => void before.add(id),
    end(object) {
      output = object && copyJson(object);
    },
  };
  reinvocation.state.set(plugin, rounds);
  return rounds;
}
