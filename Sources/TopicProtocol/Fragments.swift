/// Messages longer than a frame, since version 2: flag 1 in byte 1 of a frame says that more follows.
///
/// ```
/// fragment   | type u8 | 1 u8 | the header's other 6 bytes | the next piece of the body … |
/// the last   | type u8 | 0 u8 | the header's other 6 bytes | the last piece |
/// ```
/// All fragments of a message have its header; their pieces in order are its body. Other frames may stand between them,
/// but no fragment of another message.
package enum Fragments {
    static let moreFollows: UInt8 = 1
    package static let headerBytes = 8

    /// Whether messages of a type may be cut. Those of the data path are not: they are parsed in place.
    static func mayBeCut(type: UInt8) -> Bool { (12...31).contains(type) || type == 128 }

    /// Builds a whole message. Nil when it would be longer than ``FrameLimits/messageBytesMax``.
    package static func message(_ body: (inout FrameWriter) -> Void) -> [UInt8]? {
        unsafe withUnsafeTemporaryAllocation(byteCount: FrameLimits.messageBytesMax, alignment: 16) { memory in
            var writer = unsafe FrameWriter(memory, mayOverflow: true)
            body(&writer)
            return writer.hasOverflowed ? nil : unsafe Array(memory[..<writer.count])
        }
    }

    /// Writes as much of a message as fits into a frame.
    /// - Parameter position: Where in the message this piece begins; 0 for the first. Moved behind it.
    /// - Returns: The frame's length in bytes.
    package static func encode(
        _ message: [UInt8], from position: inout Int, into frame: UnsafeMutableRawBufferPointer
    ) -> Int {
        let start = max(position, headerBytes)
        let end = min(message.count, start + frame.count - headerBytes)
        unsafe message.withUnsafeBytes { message in
            unsafe frame.copyMemory(from: UnsafeRawBufferPointer(rebasing: message[..<headerBytes]))
            unsafe UnsafeMutableRawBufferPointer(rebasing: frame[headerBytes...]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: message[start..<end]))
        }
        if end < message.count { unsafe frame[1] = moreFollows }
        position = end
        return headerBytes + end - start
    }
}

/// Puts the fragments of one direction of a connection together.
package struct FragmentAssembler {
    /// The message so far, as if it had come in one frame.
    private var message: [UInt8] = []

    package init() {}

    /// Bytes that it holds.
    package var byteCount: Int { message.count }

    /// Of the message that it holds a part of; 0 without one.
    package var requestID: UInt32 { message.prefix(8).dropFirst(4).reversed().reduce(0) { $0 << 8 | UInt32($1) } }

    /// What a frame is.
    package enum Part {
        /// A message by itself.
        case whole
        /// A fragment that is not the last.
        case more
        /// The last fragment of this message.
        case last([UInt8])
    }

    /// Whether a frame is a fragment, and not a message by itself.
    package func isPart(_ frame: UnsafeRawBufferPointer) -> Bool {
        guard frame.count >= Fragments.headerBytes else { return false }
        return unsafe frame[1] != 0 || (!message.isEmpty && isSameMessage(frame))
    }

    /// Takes a frame. The length is checked before memory grows.
    package mutating func take(_ frame: UnsafeRawBufferPointer) throws(FrameError) -> Part {
        guard unsafe isPart(frame) else { return .whole }
        let flags = unsafe frame[1]
        guard flags & ~Fragments.moreFollows == 0 else { throw FrameError("unknown flags \(flags)") }
        guard frame.count > Fragments.headerBytes else { throw FrameError("a fragment without a byte") }
        if message.isEmpty {
            guard unsafe Fragments.mayBeCut(type: frame[0]) else {
                throw unsafe FrameError("a fragment of type \(frame[0]), which is never cut")
            }
            unsafe message += frame
            message[1] = 0
            return .more
        }
        guard unsafe isSameMessage(frame) else { throw FrameError("a fragment between those of another message") }
        guard message.count + frame.count - Fragments.headerBytes <= FrameLimits.messageBytesMax else {
            throw FrameError("a message of more than \(FrameLimits.messageBytesMax) bytes")
        }
        unsafe message += frame[Fragments.headerBytes...]
        if flags != 0 { return .more }
        defer { message = [] }
        return .last(message)
    }

    /// Whether the headers agree in all but the flags.
    private func isSameMessage(_ frame: UnsafeRawBufferPointer) -> Bool {
        unsafe frame[0] == message[0] && frame[2..<Fragments.headerBytes].elementsEqual(message[2..<8])
    }
}
