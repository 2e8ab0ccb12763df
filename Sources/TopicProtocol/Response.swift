/// What a broker says to a client.
///
/// ```
/// RESPONSE           128 | flags u8 | error i16 | request id u32 | text string | body … |
/// PRODUCE_ACKS       129 | 0 u8 | count u16 | 0 u32 | count × (request id u32 | error i16 | 0 u16 | base offset i64) |
/// SUBSCRIPTION_ENDED 130 | 0 u8 | error i16 | 0 u32 | topic id u32 | partition u32 | offset i64 |
/// ```
@safe package enum Response {
    /// The answer to one request. The body belongs to the request's kind; borrowed from the message.
    case answer(id: UInt32, error: ErrorCode, text: String, body: UnsafeRawBufferPointer)
    case produceAcks([ProduceAck])
    /// Nothing more will come of a partition: it was deleted, or its log is damaged at `offset`.
    case subscriptionEnded(PartitionAddress, error: ErrorCode, offset: Int64)

    package static func parse(_ bytes: UnsafeRawBufferPointer) throws(FrameError) -> Response {
        var reader = unsafe FrameReader(bytes)
        let type = try reader.integer(UInt8.self)
        _ = try reader.integer(UInt8.self)
        let half = try reader.integer(UInt16.self)
        let id = try reader.integer(UInt32.self)
        switch type {
        case 128:
            let text = try reader.string(bytesMax: FrameLimits.errorTextBytesMax)
            return unsafe .answer(
                id: id, error: ErrorCode(rawValue: Int16(bitPattern: half)), text: text,
                body: try reader.run(reader.remaining))
        case 129:
            guard reader.remaining == Int(half) * ProduceAck.byteCount else {
                throw FrameError("\(half) acknowledgements in \(reader.remaining) bytes")
            }
            var acks: [ProduceAck] = []
            acks.reserveCapacity(Int(half))
            for _ in 0..<half {
                let id = try reader.integer(UInt32.self)
                let error = ErrorCode(rawValue: try reader.integer())
                _ = try reader.integer(UInt16.self)
                acks.append(ProduceAck(requestID: id, error: error, baseOffset: try reader.integer()))
            }
            return .produceAcks(acks)
        case 130:
            let partition = PartitionAddress(topicID: try reader.integer(), partition: try reader.integer())
            let offset = try reader.integer(Int64.self)
            try reader.end()
            return .subscriptionEnded(partition, error: ErrorCode(rawValue: Int16(bitPattern: half)), offset: offset)
        default: throw FrameError("unknown frame type \(type)")
        }
    }

    /// Writes an answer; `body` writes what follows the text. Returns the length in bytes.
    package static func encodeAnswer(
        id: UInt32, error: ErrorCode, text: String, into bytes: UnsafeMutableRawBufferPointer,
        body: (inout FrameWriter) -> Void = { _ in }
    ) -> Int {
        var writer = unsafe FrameWriter(bytes)
        encodeAnswer(id: id, error: error, text: text, into: &writer, body: body)
        return writer.count
    }

    /// Writes an answer that may be longer than a frame.
    package static func encodeAnswer(
        id: UInt32, error: ErrorCode, text: String, into writer: inout FrameWriter, body: (inout FrameWriter) -> Void
    ) {
        writer.integer(UInt16(128))
        writer.integer(error.rawValue)
        writer.integer(id)
        writer.string(clipped(text))
        body(&writer)
    }

    /// Writes as many acknowledgements as fit; returns the length and how many.
    package static func encodeAcks(
        _ acks: ArraySlice<ProduceAck>, into bytes: UnsafeMutableRawBufferPointer
    ) -> (byteCount: Int, count: Int) {
        let count = min(acks.count, (bytes.count - 8) / ProduceAck.byteCount)
        var writer = unsafe FrameWriter(bytes)
        writer.integer(UInt16(129))
        writer.integer(UInt16(count))
        writer.integer(UInt32(0))
        for ack in acks.prefix(count) {
            writer.integer(ack.requestID)
            writer.integer(ack.error.rawValue)
            writer.integer(UInt16(0))
            writer.integer(ack.baseOffset)
        }
        return (writer.count, count)
    }

    package static func encodeSubscriptionEnded(
        _ partition: PartitionAddress, error: ErrorCode, offset: Int64, into bytes: UnsafeMutableRawBufferPointer
    ) -> Int {
        var writer = unsafe FrameWriter(bytes)
        writer.integer(UInt16(130))
        writer.integer(error.rawValue)
        writer.integer(UInt32(0))
        writer.integer(partition.topicID)
        writer.integer(partition.partition)
        writer.integer(offset)
        return writer.count
    }

    private static func clipped(_ text: String) -> String {
        guard text.utf8.count > FrameLimits.errorTextBytesMax else { return text }
        // At a scalar's first byte.
        var end = text.utf8.index(text.startIndex, offsetBy: FrameLimits.errorTextBytesMax)
        while text.utf8[end] & 0xc0 == 0x80 { text.utf8.formIndex(before: &end) }
        return String(text[..<end])
    }
}

/// What became of one produced batch.
package struct ProduceAck: Sendable {
    static let byteCount = 16
    package var requestID: UInt32
    package var error: ErrorCode
    /// Offset of the batch's first record; −1 on an error.
    package var baseOffset: Int64
    package init(requestID: UInt32, error: ErrorCode, baseOffset: Int64) {
        self.requestID = requestID
        self.error = error
        self.baseOffset = baseOffset
    }
}
