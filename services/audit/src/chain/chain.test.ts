import { expect, test } from '@jest/globals';
import { canonicalJson } from './canonical-json.ts';
import { canonicalRecord, chainHash, GENESIS, type LogRecord } from './chain.ts';

const record: LogRecord = {
  seq: 1,
  id: '01890a5d-ac96-774b-bcce-b302099a8057',
  type: 'a.b.v1',
  kind: 'change',
  org_id: null,
  actor_kind: 'user',
  actor_id: 'u"1\u2028',
  actor: { user_id: 'u', kind: 'user' },
  target_type: null,
  target_id: null,
  outcome: 'success',
  address: '::1',
  agent: 'é\\\n',
  request_id: null,
  trace_id: '',
  data: { z: [1, 2.5, 1e21, null, true], a: { '\u20ac': 1, '\r': 2, '1': 3 } },
  occurred_at: new Date('2026-01-01T00:00:00.120Z'),
  sealed_at: new Date('2026-01-01T00:00:01Z'),
};

test('canonical JSON follows RFC 8785: sorted keys, ECMAScript numbers, shortest escapes', () => {
  expect(
    canonicalJson(
      JSON.parse(
        '{"\u20ac":"Euro","\\r":"CR","1":"One","\u0080":"C","\u00f6":"O","numbers":[333333333.33333329,1E30,4.50,2e-3,-0]}',
      ),
    ),
  ).toBe(
    '{"\\r":"CR","1":"One","numbers":[333333333.3333333,1e+30,4.5,0.002,0],"\u0080":"C","\u00f6":"O","\u20ac":"Euro"}',
  );
});

test('a record by hand is what the general function makes of it', () => {
  expect(canonicalRecord(record)).toBe(canonicalJson(JSON.parse(JSON.stringify(record))));
});

test('a hash changes with every field and with the hash before', () => {
  const hash = chainHash(GENESIS, record);
  expect(chainHash(hash, record)).not.toEqual(hash);
  for (const field of Object.keys(record) as (keyof LogRecord)[]) {
    const other = record[field] instanceof Date ? new Date(0) : field === 'seq' ? 2 : 'changed';
    expect(chainHash(GENESIS, { ...record, [field]: other })).not.toEqual(hash);
  }
});
