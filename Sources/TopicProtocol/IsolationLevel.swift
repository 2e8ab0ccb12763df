/// Which records of transactions a consumer sees (Kafka's numbers). The end of a frame: there is none where everything
/// is seen.
package enum IsolationLevel: UInt8, Hashable, Sendable {
    case readUncommitted = 0
    /// Nothing of open and aborted transactions, nor what lies behind an open one.
    case readCommitted = 1

    init(from reader: inout FrameReader) throws(FrameError) {
        guard reader.remaining > 0 else {
            self = .readUncommitted
            return
        }
        let number = try reader.integer(UInt8.self)
        guard number == Self.readCommitted.rawValue else { throw FrameError("there is no isolation level \(number)") }
        self = .readCommitted
    }

    func encode(into writer: inout FrameWriter) {
        if self == .readCommitted { writer.integer(rawValue) }
    }
}
