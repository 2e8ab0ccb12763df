import Testing

@testable import TopicProtocol

/// The text behind an error, which may echo what a client sent.
@Suite struct ErrorTextTests {
    @Test(arguments: ["x", "é", "€", "🇩🇪"])
    func aLongTextIsCutBetweenScalars(piece: String) throws {
        let text = String(repeating: piece, count: 8000)
        var frame = [UInt8](repeating: 0, count: 1024)
        let shown = try unsafe frame.withUnsafeMutableBytes { frame in
            let count = unsafe Response.encodeAnswer(id: 1, error: .invalidRequest, text: text, into: frame)
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: frame[..<count])
            guard case .answer(_, _, let text, _) = unsafe try Response.parse(bytes) else { return "" }
            return text
        }
        #expect(text.unicodeScalars.starts(with: shown.unicodeScalars))
        #expect((FrameLimits.errorTextBytesMax - 3...FrameLimits.errorTextBytesMax).contains(shown.utf8.count))
    }
}
