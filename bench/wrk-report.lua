-- Prints what wrk counted as one line of JSON, which load.ts reads.
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nreport: {"requests":%d,"failures":%d,"seconds":%.6f,"p50Ms":%.3f,"p99Ms":%.3f}\n',
    summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    summary.duration / 1e6,
    latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3
  ))
end
