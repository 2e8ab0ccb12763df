import KafkaProtocol
import Testing

/// Frames of other implementations are read and written byte for byte.
@Suite struct GoldenTests {
    /// Apache Kafka's own codec made those of the APIs that kafka-python does not have.
    static let frames = Result { try GoldenFrame.load("kafka-python.txt") + GoldenFrame.load("kafka-java.txt") }

    @Test func everyFrameIsReadAndWritten() throws {
        let frames = try Self.frames.get()
        #expect(frames.count > 700)
        for golden in frames {
            do {
                let decoded = try golden.decode(golden.bytes)
                #expect(decoded.fields == golden.fields, "\(golden)")
                #expect(decoded.encodedAgain == golden.bytes, "\(golden)")
            } catch {
                Issue.record("\(golden): \(error)")
            }
        }
    }

    /// What librdkafka and aiokafka really sent, and what librdkafka's mock cluster answered.
    @Test func whatClientsSendIsReadAndWritten() throws {
        let frames = try GoldenFrame.load("recorded.txt")
        #expect(Set(frames.map(\.api)).count >= 18)
        for recorded in frames {
            do {
                let decoded = try recorded.decode(recorded.bytes)
                #expect(decoded.encodedAgain == recorded.bytes, "\(recorded)")
            } catch {
                Issue.record("\(recorded): \(error)")
            }
        }
    }

    @Test func everyVersionHasFrames() throws {
        let frames = try Self.frames.get()
        for api in ApiKey.allCases {
            for version in api.versions {
                let ofVersion = frames.filter { $0.api == api && $0.version == version }
                #expect(ofVersion.filter(\.isRequest).count == 2, "\(api.name) v\(version)")
                #expect(ofVersion.filter { !$0.isRequest }.count == 2, "\(api.name) v\(version)")
            }
        }
    }

    @Test func everyMessageIsListed() {
        #expect(Set(Messages.requests.map { $0.apiKey }) == Set(ApiKey.allCases))
        #expect(Messages.requests.count == ApiKey.allCases.count)
    }

    /// A frame that ends early anywhere is an error that says where.
    @Test func everyCutIsRefused() throws {
        for golden in try Self.frames.get() {
            let step = TestLength.isLong ? 1 : max(1, golden.bytes.count / 12)
            for end in stride(from: 4, to: golden.bytes.count, by: step) {
                let error = #expect(throws: WireError.self, "\(golden) cut at \(end)") {
                    try golden.decode(Array(golden.bytes[..<end]))
                }
                if case .endsEarly = error?.problem { continue }
                Issue.record("\(golden), cut at \(end): \(String(describing: error))")
            }
        }
    }

    /// Behind a request anything may come, as to Kafka; behind a response nothing.
    @Test func whatFollowsARequestIsIgnored() throws {
        for golden in try Self.frames.get() {
            if golden.isRequest {
                #expect(throws: Never.self, "\(golden)") { try golden.decode(golden.bytes + [0]) }
            } else {
                let error = #expect(throws: WireError.self) { try golden.decode(golden.bytes + [0]) }
                #expect(error?.problem == .trailingBytes(1), "\(golden)")
            }
        }
    }

    /// librdkafka 2.16 asks for all topics with a count that is not compact: three bytes are left over.
    @Test func readsLibrdkafkasRequestForAllTopics() throws {
        let bytes: [UInt8] = [0, 3, 0, 12, 0, 0, 0, 1, 0, 7] + Array("rdkafka".utf8) + [0] + [0, 0, 0, 0, 1, 0, 0]
        let request = unsafe try withFrame([0, 0, 0, 0] + bytes) { frame throws(WireError) in
            unsafe try RequestFrame(frame).body(MetadataRequest.self)
        }
        #expect(request.topics == nil && !request.allowAutoTopicCreation)
    }
}
