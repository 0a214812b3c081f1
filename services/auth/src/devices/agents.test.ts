import { expect, test } from '@jest/globals';
import { deviceName } from './agents.ts';

test.each([
  ['Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0', 'Firefox on Linux'],
  [
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15',
    'Safari on macOS',
  ],
  [
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0',
    'Edge on Windows',
  ],
  [
    'Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36',
    'Samsung Internet on Android',
  ],
  [
    'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0 Mobile/15E148 Safari/604.1',
    'Chrome on iPhone',
  ],
  ['Mozilla/5.0 (compatible; thing)', 'An unknown device'],
  ['curl/8.5.0', 'curl'],
  ['Acme Sync/2.1 (Windows)', 'Acme Sync on Windows'],
  ['node', 'node'],
  ['', 'An unknown device'],
  ['<img src=//evil>/1', 'An unknown device'],
  ['=cmd|x', 'An unknown device'],
  ['https://evil.test/', 'An unknown device'],
])('S118 S122 %s is called %s', (agent, name) => expect(deviceName(agent)).toBe(name));

test('S116 fifty kilobytes shaped for backtracking are read in no time', () => {
  const started = performance.now();
  for (const part of ['a ', 'A.', 'Mozilla/', '(((', 'Chrome', ' /']) deviceName(part.repeat(50_000 / part.length));
  expect(performance.now() - started).toBeLessThan(250);
});
