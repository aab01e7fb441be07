-- What wrk found, as JSON on its last line. Nothing of this runs during the measurement.
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format('{"requests": %d, "seconds": %.6f, "p50_us": %.1f, "p99_us": %.1f, "errors": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
