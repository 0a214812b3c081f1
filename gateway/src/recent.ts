/** A bounded memory of what was used lately. */
export interface Recent<V> {
  get(key: string): V | undefined;
  set(key: string, value: V): void;
  delete(key: string): void;
}

/**
 * Remembers between `max` and twice `max` values, in two generations: when the young one is full it becomes the old
 * one, and what of that is asked for again comes along. Unlike in a list by last use, a read costs one look-up and
 * moves nothing; it is asked half a dozen times for every request.
 */
export function createRecent<V>(max: number): Recent<V> {
  let young = new Map<string, V>();
  let old = new Map<string, V>();

  function set(key: string, value: V): void {
    young.set(key, value);
    if (young.size < max) return;
    old = young;
    young = new Map();
  }

  return {
    get(key) {
      const value = young.get(key);
      if (value !== undefined) return value;
      const before = old.get(key);
      if (before !== undefined) set(key, before);
      return before;
    },
    set,
    delete(key) {
      young.delete(key);
      old.delete(key);
    },
  };
}
