import { expect, test } from '@jest/globals';
import { EmailAddress, networkOf } from './addresses.ts';

test.each([
  ['  User@Example.TEST ', 'user@example.test'],
  ['ＵＳＥＲ@example.test', 'user@example.test'],
  ['user+tag@Bücher.test', 'user+tag@xn--bcher-kva.test'],
  ["o'neil.x@sub.example.test", "o'neil.x@sub.example.test"],
])('S015 an address is normalised once: %j', (given, stored) => {
  expect(EmailAddress.parse(given)).toBe(stored);
  expect(EmailAddress.parse(stored)).toBe(stored);
});

test.each([
  ['user'],
  ['@example.test'],
  ['user@'],
  ['user@example'],
  ['user@@example.test'],
  ['us er@example.test'],
  ['.user@example.test'],
  ['user..x@example.test'],
  ['user@example.test\r\nBcc: other@example.test'],
  ['user\u0000@example.test'],
  ['us\ud800er@example.test'],
  ['mıke@example.test'],
  ['user@-example.test'],
  [`${'x'.repeat(65)}@example.test`],
  [`user@${'x.'.repeat(130)}test`],
  ['"quoted"@example.test'],
  ['user@[127.0.0.1]'],
])('S018 what is no address is refused: %j', (given) => {
  expect(EmailAddress.safeParse(given).success).toBe(false);
});

test('S116 fifty kilobytes that are shaped for backtracking are refused at once', () => {
  const start = performance.now();
  expect(EmailAddress.safeParse(`${'a.'.repeat(25_000)}@`).success).toBe(false);
  expect(EmailAddress.safeParse(`a@${'a-'.repeat(150)}`).success).toBe(false);
  expect(performance.now() - start).toBeLessThan(50);
});

test.each([
  ['192.0.2.7', '192.0.2.0/24'],
  ['::ffff:192.0.2.7', '192.0.2.0/24'],
  ['::ffff:c000:207', '192.0.2.0/24'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['2001:0DB8:0:0:1::', '2001:db8:0:0::/64'],
  ['2001:db8:0:0:ffff:ffff:ffff:ffff', '2001:db8:0:0::/64'],
  ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['', 'unknown'],
  ['nonsense', 'unknown'],
])('S099 %s belongs to %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});
