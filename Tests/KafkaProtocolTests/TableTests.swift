import Foundation
import KafkaProtocol
import Testing

/// docs/kafka-protocol.md says what `ApiKey` does.
@Suite struct TableTests {
    @Test func thePageHasTheTable() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
        let page = try String(contentsOf: root.appendingPathComponent("docs/kafka-protocol.md"), encoding: .utf8)
        for api in ApiKey.allCases {
            let flexible = api.versions.upperBound + 1
            let first = (0..<flexible).first { api.isFlexible($0) }
            let row =
                "| \(api.rawValue) | \(api.name) | \(text(api.versions)) | \(first.map { "\($0)" } ?? "–") | "
                + "\(api.advertised.map(text) ?? "–") |"
            #expect(page.contains(row), "\(row)")
        }
    }

    /// What is advertised can be read; but Produce is advertised from 0 on, for librdkafka's sake.
    @Test func whatIsAdvertisedIsKnown() {
        for api in ApiKey.allCases {
            guard let advertised = api.advertised else { continue }
            #expect(api.versions.contains(advertised.upperBound), "\(api.name)")
            #expect(api == .produce ? advertised.lowerBound == 0 : api.versions.contains(advertised.lowerBound))
        }
    }

    private func text(_ versions: ClosedRange<Int16>) -> String {
        versions.count == 1 ? "\(versions.lowerBound)" : "\(versions.lowerBound)–\(versions.upperBound)"
    }
}
