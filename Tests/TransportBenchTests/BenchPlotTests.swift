import Foundation
import FoundationXML
import Testing
import TransportBench

/// The picture, read as the XML that it is.
@Suite struct BenchPlotTests {
    /// What a picture holds.
    private final class Picture: NSObject, XMLParserDelegate {
        var circles: [(x: Double, y: Double)] = []
        var lines = 0
        var texts: [String] = []
        var size = (width: 0.0, height: 0.0)
        private var text: String?

        init(_ svg: String) throws {
            super.init()
            let parser = XMLParser(data: Data(svg.utf8))
            parser.delegate = self
            try #require(parser.parse(), "no XML: \(parser.parserError.map { "\($0)" } ?? "")")
        }
        func parser(
            _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
            attributes: [String: String]
        ) {
            func number(_ key: String) -> Double { Double(attributes[key] ?? "") ?? .nan }
            switch name {
            case "svg": size = (number("width"), number("height"))
            case "circle": circles.append((number("cx"), number("cy")))
            case "polyline": lines += 1
            case "text": text = ""
            default: break
            }
        }
        func parser(_ parser: XMLParser, foundCharacters string: String) { text? += string }
        func parser(
            _ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?
        ) {
            if name == "text", let text { texts.append(text) }
            if name == "text" { text = nil }
        }
    }

    @Test func onePointForEachSize() throws {
        let results = BenchOptions.allSizes.map {
            BenchResultTests.bandwidth(bytes: $0, messages: 1000, seconds: 0.01 + Double($0) / 1e6)
        }
        let picture = try Picture(try #require(BenchPlot.svg(results)))
        #expect(picture.circles.count == 23 && picture.lines == 1)
        #expect(picture.circles.allSatisfy { $0.x >= 0 && $0.x <= picture.size.width })
        #expect(picture.circles.allSatisfy { $0.y >= 0 && $0.y <= picture.size.height })
        // Larger messages to the right, more bandwidth higher up.
        #expect(zip(picture.circles, picture.circles.dropFirst()).allSatisfy { $0.x < $1.x && $0.y >= $1.y })
        #expect(picture.texts.contains("write-bw: bandwidth") && picture.texts.contains("MiB/s"))
        #expect(picture.texts.contains("8 Mi"))
    }

    @Test func onePanelForEachMeasure() throws {
        let both =
            [64, 128].map { BenchResultTests.bandwidth(bytes: $0, messages: 10, seconds: 1) }
            + [64, 128].map { BenchResultTests.latency([Double($0)], .writeLatency, bytes: $0) }
        let picture = try Picture(try #require(BenchPlot.svg(both)))
        #expect(picture.lines == 2 && picture.circles.count == 4)
        let single = try Picture(try #require(BenchPlot.svg(Array(both.prefix(2)))))
        #expect(picture.size.height == 2 * single.size.height)
        #expect(picture.texts.contains("write-lat: median latency") && picture.texts.contains("microseconds"))
    }

    @Test func nothingToDraw() {
        #expect(BenchPlot.svg([]) == nil)
        #expect(BenchPlot.svg([BenchResultTests.bandwidth(bytes: 64, messages: 10, seconds: 1)]) == nil)
        // One size of each of two measures is no line.
        #expect(
            BenchPlot.svg([
                BenchResultTests.bandwidth(bytes: 64, messages: 10, seconds: 1), BenchResultTests.latency([1]),
            ]) == nil)
    }

    /// A measure that gave nothing is left out; it is no reason to crash.
    @Test func valuesWithoutALogarithm() throws {
        var results = [64, 128, 256].map { BenchResultTests.bandwidth(bytes: $0, messages: 10, seconds: 1) }
        results[1].seconds = 0
        let picture = try Picture(try #require(BenchPlot.svg(results)))
        #expect(picture.circles.count == 2)
        let flat = [64, 128].map { BenchResultTests.latency([0], bytes: $0) }
        #expect(BenchPlot.svg(flat) == nil)
    }

    @Test(arguments: [[1.0, 1.0], [0.001, 1000.0], [99.99, 100.0], [1e9, 1e9 + 1]])
    func anyRange(values: [Double]) throws {
        let results = zip([2, 4], values).map { BenchResultTests.latency([$1], bytes: $0) }
        let picture = try Picture(try #require(BenchPlot.svg(results)))
        #expect(picture.circles.allSatisfy { $0.x.isFinite && $0.y >= 0 && $0.y <= picture.size.height })
    }
}
