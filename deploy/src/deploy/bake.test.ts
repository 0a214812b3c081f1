import { expect, test } from '@jest/globals';
import { bakeSecondsOf, countRequests, inTurns } from './bake.ts';

test('a gateway that fails is asked again before the other one', async () => {
  const asked: string[] = [];
  const next = inTurns(['one', 'two'], async (address) => {
    asked.push(address);
    if (address === 'two') throw new Error('502');
  });

  for (let round = 0; round < 4; round++) await next().catch(() => undefined);

  expect(asked).toEqual(['one', 'two', 'two', 'two']);
});

test('a bake that would never end is refused before anything is done', () => {
  expect(bakeSecondsOf({ BAKE_SECONDS: '300' })).toBe(300);
  for (const wrong of ['5m', '', 'NaN', '-1'])
    expect(() => bakeSecondsOf({ BAKE_SECONDS: wrong })).toThrow('BAKE_SECONDS is a number of seconds');
});

test('what an application behind the gateway answers is neither an error nor slow on our side', () => {
  const counts = { requests: 0, errors: 0, times: new Map<number, number>() };
  countRequests(
    `http_requests_total{method="GET",route="/api/proxy/:upstream/*",status="502"} 7
http_requests_total{method="GET",route="/api/auth/me",status="500"} 2
upstream_request_duration_seconds_count{server_address="shop",method="GET",status="502",error_type=""} 4
upstream_request_duration_seconds_count{server_address="shop",method="GET",status="",error_type="refused"} 3
upstream_request_duration_seconds_count{server_address="auth",method="GET",status="500",error_type=""} 2
http_request_duration_seconds_bucket{le="0.5",method="GET",route="/api/proxy/:upstream/*",status="502"} 0
http_request_duration_seconds_bucket{le="0.5",method="GET",route="/api/auth/me",status="500"} 1
http_request_duration_seconds_bucket{le="+Inf",method="GET",route="/api/auth/me",status="500"} 2`,
    counts,
  );

  expect(counts).toEqual({
    ...{ requests: 9, errors: 5 },
    times: new Map([
      [0.5, 1],
      [Number.POSITIVE_INFINITY, 2],
    ]),
  });
});
