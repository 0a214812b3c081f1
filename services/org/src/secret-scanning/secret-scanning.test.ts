import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { sha256 } from '@gatehouse/kit/crypto';
import { digest } from '@gatehouse/testkit/matrix';
import { type Listening, listen } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { newKey } from '../api-keys/key.ts';
import { startOrg, type TestOrg, type TestOrganization, tally } from '../testing.ts';

const PATH = '/api/secret-scanning/reports';
const pair = (namedCurve = 'P-256') => generateKeyPairSync('ec', { namedCurve });
const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString();
const [partner, next, stranger, otherCurve] = [pair(), pair(), pair(), pair('P-384')];

/** Stands in for the address at which the partner publishes its keys. */
const published = {
  keys: new Map<string, string>(),
  asked: 0,
  answer: undefined as ((res: ServerResponse) => void) | undefined,
};
let double: Listening;
let org: TestOrg;
let acme: TestOrganization;

beforeAll(async () => {
  double = await listen((_req, res) => {
    published.asked += 1;
    if (published.answer) return published.answer(res);
    const public_keys = [...published.keys].map(([key_identifier, key]) => ({ key_identifier, key, is_current: true }));
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ public_keys }));
  });
  org = await startOrg({ instances: 2, scanningKeysUrl: `${double.url}/meta/public_keys/secret_scanning` });
});
afterAll(async () => {
  await org.close();
  await double.close();
});
beforeEach(async () => {
  published.keys = new Map([
    ['partner', pem(partner.publicKey)],
    ['p384', pem(otherCurve.publicKey)],
  ]);
  published.answer = undefined;
  org.clock.advance(31_000);
  acme = await org.found();
});

const create = async (of = acme, body: object = {}) =>
  (await org.member(of, 'owner').post(`/api/org/${of.id}/api-keys`, { name: 'ci', ...body })).body;
const factOf = async (key: string) =>
  (await org.gateway().get(`/internal/api-keys/${sha256(key).toString('hex')}`)).body;
const finding = (token: string) => ({
  token,
  type: 'gatehouse_api_key',
  url: 'https://github.com/octocat/hello/blob/12345600b9cbe38a219f39a9941c9319b600c002/foo/bar.txt',
  source: 'content',
});
const signed = (text: string, key = partner.privateKey, id = 'partner') => ({
  'github-public-key-identifier': id,
  'github-public-key-signature': sign('sha256', Buffer.from(text), key).toString('base64'),
});
const anonymous = (instance = org.instances[0]) => org.as({ kind: 'anonymous' }, instance);

async function report(tokens: string[], instance = org.instances[0]) {
  const text = JSON.stringify(tokens.map(finding));
  return anonymous(instance).post(PATH, text, signed(text));
}
const label = (token: string, found: boolean) => ({
  token_hash: sha256(token).toString('hex'),
  token_type: 'gatehouse_api_key',
  label: found ? 'true_positive' : 'false_positive',
});

describe('a report with the partner’s signature', () => {
  test('revokes the key at once, with a warm cache, and tells the owners and admins of its organization', async () => {
    const [boss, admin] = [await org.person(), await org.person()];
    await org.addMember(acme.id, 'owner', boss.id);
    await org.addMember(acme.id, 'admin', admin.id);
    const viewer = await org.person();
    await org.addMember(acme.id, 'viewer', viewer.id);
    const { id, key, prefix } = await create();
    const spared = await create();
    expect(await factOf(key)).toMatchObject({ active: true });

    const answer = await report([key]);

    expect([answer.status, answer.body]).toEqual([200, [label(key, true)]]);
    expect(JSON.stringify(answer.body)).not.toContain(key);
    expect(await org.redis.client.get(`fact:key:${sha256(key).toString('hex')}`)).toBe('');
    expect(await factOf(key)).toMatchObject({ active: false });
    expect(await factOf(spared.key)).toMatchObject({ active: true });
    const event = (await org.events(acme.id)).at(-1);
    expect(event).toMatchObject({
      type: 'org.api_key_leaked.v1',
      kind: 'security',
      data: { key_id: id, name: 'ci', prefix, url: finding(key).url, source: 'content' },
    });
    const jobs = await org.rows<{ payload: { to: string }; secret: unknown }>(
      `select j.payload, j.secret from events.jobs j where j.payload ->> 'template' = 'api-key-leaked'
       order by j.payload ->> 'to'`,
    );
    expect(jobs.map(({ payload }) => payload.to)).toEqual([admin.email, boss.email].sort());
    expect(jobs[0]).toMatchObject({
      secret: null,
      payload: { params: { organization: 'Acme', key_name: 'ci', prefix, url: finding(key).url } },
    });
    const everything = await org.rows(
      'select o::text as text from events.outbox o union all select j::text from events.jobs j',
    );
    expect(JSON.stringify(everything)).not.toContain(key.slice(prefix.length));
  });

  test('sent once more changes nothing; two at the same time revoke once', async () => {
    const { key } = await create();
    const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => report([key, key], org.instances[i % 2])));
    const labels = answers.flatMap(({ body }) => body as { label: string }[]);
    expect(labels.filter((one) => one.label === 'true_positive')).toHaveLength(1);
    expect((await org.events(acme.id)).filter(({ type }) => type === 'org.api_key_leaked.v1')).toHaveLength(1);
    const before = [await digest(org.database, 'org'), await digest(org.database, 'events')];
    expect((await report([key])).body).toEqual([label(key, false)]);
    expect([await digest(org.database, 'org'), await digest(org.database, 'events')]).toEqual(before);
  });

  test('goes over organizations, says of each token what it was, and asks nothing for what is no key', async () => {
    const other = await org.found();
    const [mine, theirs, revoked, expired, replaced] = [
      await create(),
      await create(other),
      await create(),
      await create(acme, { expires_at: new Date(org.clock().getTime() + 1_000).toISOString() }),
      await create(),
    ];
    const owner = org.member(acme, 'owner');
    await owner.delete(`/api/org/${acme.id}/api-keys/${revoked.id}`);
    const { body: successor } = await owner.post(`/api/org/${acme.id}/api-keys/${replaced.id}/rotate`, {});
    org.clock.advance(2_000);
    const tokens: [string, boolean][] = [
      [mine.key, true],
      [theirs.key, true],
      [replaced.key, true],
      [revoked.key, false],
      [expired.key, false],
      [newKey('development').key, false],
      [newKey('production').key, false],
      [` ${successor.key}`, false],
      [successor.key.slice(0, -1), false],
      ['', false],
      ['NMIfyYncKcRALEXAMPLE', false],
    ];

    const answer = await report(tokens.map(([token]) => token));

    expect(answer.body).toEqual(tokens.map(([token, found]) => label(token, found)));
    for (const { key } of [mine, theirs, replaced]) expect(await factOf(key)).toMatchObject({ active: false });
    // What took its place is another secret.
    expect(await factOf(successor.key)).toMatchObject({ active: true });
    const types = (await org.events(other.id)).map(({ type }) => type);
    expect(types.at(-1)).toBe('org.api_key_leaked.v1');
  });

  test('counts for a suspended organization too: what is revoked stays so when that is lifted', async () => {
    const { key } = await create();
    const suspend = (status: string) =>
      org.platformAdmin().patch(`/api/platform/organizations/${acme.id}`, { status, reason: 'abuse' });
    await suspend('suspended');
    expect((await report([key])).body).toEqual([label(key, true)]);
    await suspend('active');
    expect(await factOf(key)).toMatchObject({ active: false });
  });

  test('keeps what others wrote to itself: an address that is none is left out, and members of the future are', async () => {
    const { key } = await create();
    const odd = [
      { ...finding(key), url: `https://evil.test/\u202e<script>`, source: 'a\u0000b', certainty: 'high' },
      { token: 'x', type: 'y', url: null },
    ];
    const text = JSON.stringify(odd);
    const answer = await anonymous().post(PATH, text, signed(text));
    expect(answer.status).toBe(200);
    const { data } = (await org.events(acme.id)).at(-1) ?? {};
    expect(data).toEqual({ key_id: expect.any(String), name: 'ci', prefix: key.slice(0, 13), source: 'a b' });
  });

  test('is bounded: 100 findings, 256 KiB', async () => {
    const tokens = Array.from({ length: 100 }, () => newKey('development').key);
    expect((await report(tokens)).status).toBe(200);
    expect((await report([...tokens, 'one more'])).status).toBe(400);
    expect((await report([])).status).toBe(400);
    const large = JSON.stringify([finding('x'.repeat(256 * 1024))]);
    expect((await anonymous().post(PATH, large, signed(large))).status).toBe(413);
  });
});

describe('a report that is not the partner’s', () => {
  test('is refused, and nothing happens', async () => {
    const { key } = await create();
    const text = JSON.stringify([finding(key)]);
    const good = signed(text);
    const swapped = text.replace('content', 'commits');
    const wrong: [string, Record<string, string>, string, string][] = [
      ['no headers', {}, text, 'unsigned'],
      ['no signature', { 'github-public-key-identifier': 'partner' }, text, 'unsigned'],
      ['no key id', { 'github-public-key-signature': good['github-public-key-signature'] }, text, 'unsigned'],
      ['a changed body', good, swapped, 'bad_signature'],
      ['a body with another space', good, `${text} `, 'bad_signature'],
      ['another key under the partner’s id', signed(text, stranger.privateKey), text, 'bad_signature'],
      ['an id that is not published', signed(text, stranger.privateKey, 'stranger'), text, 'unknown_key'],
      ['a key of another curve', signed(text, otherCurve.privateKey, 'p384'), text, 'unknown_key'],
      [
        'another hash',
        {
          ...good,
          'github-public-key-signature': sign('sha512', Buffer.from(text), partner.privateKey).toString('base64'),
        },
        text,
        'bad_signature',
      ],
      [
        'the other encoding',
        {
          ...good,
          'github-public-key-signature': sign('sha256', Buffer.from(text), {
            key: partner.privateKey,
            dsaEncoding: 'ieee-p1363',
          }).toString('base64'),
        },
        text,
        'bad_signature',
      ],
      ['an empty signature', { ...good, 'github-public-key-signature': '' }, text, 'bad_signature'],
      ['no base64', { ...good, 'github-public-key-signature': '%%%%%%%%%%%%' }, text, 'bad_signature'],
      [
        'zeros',
        { ...good, 'github-public-key-signature': Buffer.from('3006020100020100', 'hex').toString('base64') },
        text,
        'bad_signature',
      ],
      ['a list of ids', { ...good, 'github-public-key-identifier': 'partner, stranger' }, text, 'unsigned'],
      ['an id of the language', { ...good, 'github-public-key-identifier': '__proto__' }, text, 'unknown_key'],
    ];
    const before = await digest(org.database, 'org');
    for (const [name, headers, body, reason] of wrong) {
      const answer = await anonymous().post(PATH, body, headers);
      expect([name, answer.status, answer.body.code]).toEqual([name, 400, 'api_key.report_refused']);
      const [event] = await org.rows(
        'select o.type, o.outcome, o.data from events.outbox o order by o.position desc limit 1',
      );
      expect([name, event]).toEqual([
        name,
        { type: 'org.leak_report_refused.v1', outcome: 'denied', data: { reason } },
      ]);
    }
    expect(await digest(org.database, 'org')).toEqual(before);
    expect(await factOf(key)).toMatchObject({ active: true });
  });

  test('does not make us ask for keys more than once in 30 seconds; a new key counts after that', async () => {
    const { key } = await create();
    const text = JSON.stringify([finding(key)]);
    const ask = () => anonymous().post(PATH, text, signed(text, next.privateKey, 'next'));
    expect((await ask()).status).toBe(400);
    const asked = published.asked;
    published.keys.set('next', pem(next.publicKey));

    const answers = await Promise.all(Array.from({ length: 50 }, ask));
    expect(tally(answers)).toEqual({ '400 api_key.report_refused': 50 });
    expect(published.asked).toBe(asked);

    org.clock.advance(30_000);
    const [first, ...rest] = await Promise.all(Array.from({ length: 10 }, ask));
    expect(published.asked).toBe(asked + 1);
    expect([first, ...rest].map((answer) => answer?.status)).toEqual(Array(10).fill(200));
  });
});

describe('the partner’s keys', () => {
  const ask = async (at: TestOrg) => {
    const text = JSON.stringify([finding('x')]);
    return (await at.as({ kind: 'anonymous' }).post(PATH, text, signed(text))).status;
  };

  test('that cannot be fetched leave the report for later, and nobody in', async () => {
    const answers: ((res: ServerResponse) => void)[] = [
      (res) => res.writeHead(500).end(),
      (res) => res.writeHead(302, { location: `${double.url}/elsewhere` }).end(),
      (res) => res.writeHead(200).end('{"public_keys":'),
      (res) => res.writeHead(200).end(JSON.stringify({ public_keys: 'x' })),
      (res) => res.writeHead(200).end('x'.repeat(100_000)),
      (res) => res.destroy(),
    ];
    const fresh = await startOrg({ scanningKeysUrl: double.url });
    try {
      for (const answer of answers) {
        fresh.clock.advance(31_000);
        published.answer = answer;
        expect(await ask(fresh)).toBe(503);
      }
      published.answer = undefined;
      fresh.clock.advance(31_000);
      expect(await ask(fresh)).toBe(200);
      // Known once, they count while they cannot be fetched anew.
      published.answer = answers[0];
      fresh.clock.advance(2 * 3_600_000);
      expect(await ask(fresh)).toBe(200);
    } finally {
      await fresh.close();
    }
  });

  test('without an address for them there is no such thing', async () => {
    const off = await startOrg();
    try {
      const text = JSON.stringify([finding('x')]);
      const answer = await off.as({ kind: 'anonymous' }).post(PATH, text, signed(text));
      expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
      expect((await off.as({ kind: 'anonymous' }).post(PATH, 'no json', {})).status).toBe(404);
    } finally {
      await off.close();
    }
  });
});
