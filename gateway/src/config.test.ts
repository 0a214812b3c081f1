import { expect, test } from '@jest/globals';
import { Config } from './config.ts';

const { UPSTREAMS } = Config.shape;

test('upstreams are read by name, with several processes each', () => {
  expect(UPSTREAMS.parse('one=http://a:1,two=http://b:1|http://b:2')).toEqual({
    one: ['http://a:1'],
    two: ['http://b:1', 'http://b:2'],
  });
});

// The name is the audience of the identities that an upstream is handed: by a service's name it could use them there.
test.each(['auth', 'org', 'audit', 'worker'])('S096 no upstream is called %s, as a service is', (name) => {
  expect(UPSTREAMS.safeParse(`${name}=http://127.0.0.1:1`).success).toBe(false);
});
