// How long a request may take: the server's limit, or less where ?timeout= asks for less. Upstream: endpoints/filters/request_deadline.go.
import { badRequest } from '#machinery/api/status.ts';
import { parseGoDuration } from '../go-duration.ts';

/** Milliseconds; throws 400 for what is not a duration. Nothing, 0 and what is beyond the limit mean the limit. */
export function timeAllowed(query: URLSearchParams, limitMs: number): number {
  const text = query.get('timeout');
  if (text === null || text === '') return limitMs;
  let asked: number;
  try {
    asked = parseGoDuration(text);
  } catch (error) {
    throw badRequest(`invalid timeout specified in the request URL - ${error instanceof Error ? error.message : String(error)}`);
  }
  return asked > 0 && asked < limitMs ? asked : limitMs;
}
