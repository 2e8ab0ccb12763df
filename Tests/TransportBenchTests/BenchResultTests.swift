import Foundation
import Testing
import TransportBench

/// The numbers, and the columns and JSON made of them.
@Suite struct BenchResultTests {
    static func latency(_ microseconds: [Double], _ test: BenchTest = .sendLatency, bytes: Int = 64) -> BenchResult {
        var result = BenchResult(test: test, byteCount: bytes, iterations: microseconds.count)
        result.microseconds = microseconds.sorted()
        return result
    }
    static func bandwidth(
        _ test: BenchTest = .writeBandwidth, bytes: Int, messages: Int, seconds: Double
    ) -> BenchResult {
        var result = BenchResult(test: test, byteCount: bytes, iterations: messages)
        result.seconds = seconds
        return result
    }

    /// The nearest rank: the smallest value that at least such a share of the values does not exceed.
    @Test func percentiles() {
        let hundred = Self.latency((1...100).map(Double.init))
        #expect(hundred.percentile(0) == 1)
        #expect(hundred.percentile(0.5) == 50)
        #expect(hundred.percentile(0.99) == 99)
        #expect(hundred.percentile(0.999) == 100)
        #expect(hundred.percentile(1) == 100)
        let thousand = Self.latency((1...1000).map(Double.init))
        #expect(thousand.percentile(0.999) == 999)
        #expect(Self.latency([7]).percentile(0.5) == 7)
        #expect(Self.latency([1, 2, 3]).percentile(0.5) == 2)
        #expect(Self.latency([]).percentile(0.5) == 0)
    }

    @Test func meanAndDeviation() {
        let result = Self.latency([2, 4, 4, 4, 5, 5, 7, 9])
        #expect(result.mean == 5)
        #expect(abs(result.standardDeviation - (32.0 / 7).squareRoot()) < 1e-12)
        #expect(Self.latency([3]).standardDeviation == 0)
        #expect(Self.latency([]).mean == 0)
    }

    /// MiB are 2²⁰ bytes, as perftest's are.
    @Test func rates() {
        let result = Self.bandwidth(bytes: 65536, messages: 32, seconds: 2)
        #expect(result.mebibytesPerSecond == 1)
        #expect(result.messageRate == 16e-6)
    }

    @Test func columns() throws {
        func words(_ line: String) -> [String] { line.split(separator: " ").map(String.init) }
        let line = BenchReport.line(Self.bandwidth(bytes: 65536, messages: 1600, seconds: 0.5))
        #expect(words(line) == ["65536", "1600", "200.00", "0.003200"])
        let times = BenchReport.line(Self.latency([1, 2, 3, 4]))
        #expect(words(times) == ["64", "4", "1.00", "2.00", "2.50", "1.29", "4.00", "4.00", "4.00"])
        // Each number stands below its heading.
        for (test, line) in [(BenchTest.writeBandwidth, line), (.sendLatency, times)] {
            let heading = BenchReport.heading(test)
            // "BW average[MiB/s]" is the only heading of two words.
            let headings = heading.replacingOccurrences(of: "BW average", with: "BW_average")
            #expect(words(headings).count == words(line).count)
            #expect(!line.hasSuffix(" ") && !heading.hasSuffix(" "))
            for word in words(line).dropFirst().prefix(2) {
                let column = try #require(line.range(of: " " + word)).lowerBound
                let offset = line.distance(from: line.startIndex, to: column)
                #expect(heading[heading.index(heading.startIndex, offsetBy: offset)] == " ")
            }
        }
    }

    @Test func json() throws {
        let text = BenchReport.json([
            Self.bandwidth(bytes: 2, messages: 1_000_000, seconds: 0.5), Self.latency([1.5, 2.25, 1000]),
        ])
        let parsed = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]]
        let objects = try #require(parsed)
        #expect(objects.count == 2)
        #expect(objects[0]["test"] as? String == "write-bw")
        #expect(objects[0]["messages_per_s"] as? Double == 2_000_000)
        #expect(objects[0]["seconds"] as? Double == 0.5)
        #expect(objects[1]["bytes"] as? Int == 64)
        #expect(objects[1]["median_us"] as? Double == 2.25)
        #expect(objects[1]["max_us"] as? Double == 1000)
        let empty = try JSONSerialization.jsonObject(with: Data(BenchReport.json([]).utf8)) as? [Any]
        #expect(empty?.isEmpty == true)
    }

    /// Nothing that JSON has no word for, even where nothing was measured.
    @Test func jsonOfNothing() throws {
        let text = BenchReport.json([Self.bandwidth(bytes: 64, messages: 5, seconds: 0), Self.latency([])])
        _ = try JSONSerialization.jsonObject(with: Data(text.utf8))
    }
}
