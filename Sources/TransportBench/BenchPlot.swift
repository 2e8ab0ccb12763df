import Glibc

/// Results against message size, as an SVG picture: a panel for each test, both axes logarithmic.
package enum BenchPlot {
    private static let width = 760.0, height = 400.0
    private static let left = 84.0, right = 28.0, top = 50.0, bottom = 56.0

    /// The picture; nil when no test has two sizes.
    package static func svg(_ results: [BenchResult]) -> String? {
        let panels = BenchTest.allCases.compactMap { test in panel(test, results.filter { $0.test == test }) }
        guard !panels.isEmpty else { return nil }
        let total = Int(height) * panels.count
        var parts = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(Int(width)) \(total)\" width=\"\(Int(width))\" "
                + "height=\"\(total)\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">",
            "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
        ]
        for (index, panel) in panels.enumerated() {
            parts.append("<g transform=\"translate(0,\(Int(height) * index))\">")
            parts += panel
            parts.append("</g>")
        }
        parts.append("</svg>\n")
        return parts.joined(separator: "\n")
    }

    private static func panel(_ test: BenchTest, _ results: [BenchResult]) -> [String]? {
        let measured = results.map {
            (Double($0.byteCount), test.isLatency ? $0.percentile(0.5) : $0.mebibytesPerSecond)
        }
        let values = measured.filter { $0.0 > 0 && $0.1 > 0 && $0.1.isFinite }
        guard values.count > 1, let low = values.map(\.1).min(), let high = values.map(\.1).max(),
            let first = values.map(\.0).min(), let last = values.map(\.0).max()
        else { return nil }
        let xAxis = Axis(first, last, base: 2, left, width - right)
        let yAxis = Axis(low, high, base: 10, height - bottom, top)
        var parts = [
            text(width / 2, 28, "\(test.rawValue): " + (test.isLatency ? "median latency" : "bandwidth"), size: 16),
            text(width / 2, height - 14, "message size, bytes"),
            "<text transform=\"translate(22,\(number(height / 2))) rotate(-90)\" text-anchor=\"middle\">"
                + (test.isLatency ? "microseconds" : "MiB/s") + "</text>",
        ]
        for tick in yAxis.ticks {
            let y = yAxis.place(tick)
            parts.append(line(left, y, width - right, y, "#ddd"))
            parts.append(text(left - 8, y + 4, label(tick), anchor: "end"))
        }
        for tick in xAxis.ticks {
            let x = xAxis.place(tick)
            parts.append(line(x, top, x, height - bottom, "#eee"))
            parts.append(text(x, height - bottom + 18, bytes(tick)))
        }
        let points = values.map { (xAxis.place($0.0), yAxis.place($0.1)) }
        let path = points.map { "\(number($0)),\(number($1))" }.joined(separator: " ")
        parts.append("<polyline fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"2\" points=\"\(path)\"/>")
        for (point, value) in zip(points, values) {
            parts.append(
                "<circle cx=\"\(number(point.0))\" cy=\"\(number(point.1))\" r=\"3.5\" fill=\"#1f6feb\"><title>"
                    + "\(bytes(value.0))B: \(BenchReport.decimal(value.1, 2))</title></circle>")
        }
        return parts
    }

    /// A logarithmic axis from one place of the picture to another.
    private struct Axis {
        let base: Double, low: Double, high: Double, from: Double, to: Double

        init(_ low: Double, _ high: Double, base: Double, _ from: Double, _ to: Double) {
            self.base = base
            self.low = pow(base, (log(low) / log(base) + 1e-9).rounded(.down))
            self.high = max(self.low * base, pow(base, (log(high) / log(base) - 1e-9).rounded(.up)))
            self.from = from
            self.to = to
        }
        func place(_ value: Double) -> Double { from + (to - from) * log(value / low) / log(high / low) }
        /// Powers of the base, at most a dozen of them.
        var ticks: [Double] {
            let count = Int((log(high / low) / log(base)).rounded())
            let step = max(1, (count + 11) / 12)
            return stride(from: 0, through: count, by: step).map { low * pow(base, Double($0)) }
        }
    }

    private static func number(_ value: Double) -> String { BenchReport.decimal(value, 1) }
    private static func label(_ value: Double) -> String {
        value >= 1 ? BenchReport.decimal(value, 0) : BenchReport.decimal(value, 3).trimmingSuffix("0")
    }
    private static func bytes(_ value: Double) -> String {
        let count = Int(value)
        if count >= 1 << 20 { return "\(count >> 20) Mi" }
        return count >= 1 << 10 ? "\(count >> 10) Ki" : "\(count)"
    }
    private static func text(
        _ x: Double, _ y: Double, _ text: String, size: Int = 12, anchor: String = "middle"
    ) -> String {
        "<text x=\"\(number(x))\" y=\"\(number(y))\" font-size=\"\(size)\" text-anchor=\"\(anchor)\">\(text)</text>"
    }
    private static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ color: String) -> String {
        "<line x1=\"\(number(x1))\" y1=\"\(number(y1))\" x2=\"\(number(x2))\" y2=\"\(number(y2))\" "
            + "stroke=\"\(color)\"/>"
    }
}
