/// Results as text in perftest's columns, and as JSON.
package enum BenchReport {
    /// The line above the first result.
    package static func heading(_ test: BenchTest) -> String {
        test.isLatency
            ? columns(["#bytes", "#iterations", "t_min[usec]", "t_median", "t_avg", "t_stdev", "99%", "99.9%", "t_max"])
            : columns(["#bytes", "#iterations", "BW average[MiB/s]", "MsgRate[Mpps]"])
    }

    package static func line(_ result: BenchResult) -> String {
        let head = ["\(result.byteCount)", "\(result.iterations)"]
        guard result.test.isLatency else {
            return columns(head + [decimal(result.mebibytesPerSecond, 2), decimal(result.messageRate, 6)])
        }
        let times = [
            result.percentile(0), result.percentile(0.5), result.mean, result.standardDeviation,
            result.percentile(0.99), result.percentile(0.999), result.percentile(1),
        ]
        return columns(head + times.map { decimal($0, 2) })
    }

    /// One object for each result, in a list.
    package static func json(_ results: [BenchResult]) -> String {
        let objects = results.map { result in
            var fields = [
                ("test", "\"\(result.test.rawValue)\""), ("bytes", "\(result.byteCount)"),
                ("iterations", "\(result.iterations)"),
            ]
            if result.test.isLatency {
                fields += [
                    ("min_us", decimal(result.percentile(0), 3)), ("median_us", decimal(result.percentile(0.5), 3)),
                    ("mean_us", decimal(result.mean, 3)), ("stdev_us", decimal(result.standardDeviation, 3)),
                    ("p99_us", decimal(result.percentile(0.99), 3)), ("p999_us", decimal(result.percentile(0.999), 3)),
                    ("max_us", decimal(result.percentile(1), 3)),
                ]
            } else {
                fields += [
                    ("seconds", decimal(result.seconds, 6)), ("mib_per_s", decimal(result.mebibytesPerSecond, 3)),
                    ("messages_per_s", decimal(result.messageRate * 1e6, 1)),
                ]
            }
            return "  {" + fields.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}"
        }
        return "[\n" + objects.joined(separator: ",\n") + "\n]"
    }

    private static func columns(_ words: [String]) -> String {
        words.enumerated().map { index, word in
            let width = index < 2 ? 12 : 18
            return word + String(repeating: " ", count: max(1, width - word.count))
        }.joined().trimmingSuffix(" ")
    }

    /// A number with so many digits behind the point.
    static func decimal(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite else { return "0" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let whole = Int((abs(value) * scale).rounded())
        let sign = value < 0 && whole > 0 ? "-" : ""
        guard digits > 0 else { return sign + "\(whole)" }
        let fraction = String(whole % Int(scale))
        return sign + "\(whole / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
    }
}

extension String {
    func trimmingSuffix(_ character: Character) -> String {
        var text = Substring(self)
        while text.last == character { text.removeLast() }
        return String(text)
    }
}
