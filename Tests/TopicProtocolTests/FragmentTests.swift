import Testing

@testable import TopicProtocol

/// Messages in pieces.
@Suite struct FragmentTests {
    /// A message of a type with a body of so many bytes, and its frames.
    private func message(_ byteCount: Int, type: UInt8 = 20) -> [UInt8] {
        [type, 0, 0, 0, 7, 0, 0, 0] + (0..<byteCount).map { UInt8(truncatingIfNeeded: $0) }
    }

    private func frames(_ message: [UInt8], frameBytes: Int) -> [[UInt8]] {
        var position = 0
        var frames: [[UInt8]] = []
        repeat {
            var frame = [UInt8](repeating: 0xee, count: frameBytes)
            let count = unsafe frame.withUnsafeMutableBytes {
                unsafe Fragments.encode(message, from: &position, into: $0)
            }
            frames.append(Array(frame[..<count]))
        } while position < message.count
        return frames
    }

    /// Nil for `more`.
    private func take(_ frame: [UInt8], _ assembler: inout FragmentAssembler) throws -> [UInt8]? {
        switch try unsafe frame.withUnsafeBytes({ unsafe try assembler.take($0) }) {
        case .whole: frame
        case .more: nil
        case .last(let message): message
        }
    }

    @Test func aFragmentHasTheseBytes() {
        let frames = frames(message(5), frameBytes: 10)
        #expect(
            frames == [
                [20, 1, 0, 0, 7, 0, 0, 0, 0, 1], [20, 1, 0, 0, 7, 0, 0, 0, 2, 3], [20, 0, 0, 0, 7, 0, 0, 0, 4],
            ])
    }

    @Test func piecesMakeTheMessage() throws {
        for byteCount in [0, 1, 2, 3, 8, 9, 100, 1000] {
            for frameBytes in [9, 10, 16, 108, 2000] {
                let message = message(byteCount, type: byteCount % 2 == 0 ? 20 : 128)
                var assembler = FragmentAssembler()
                let frames = frames(message, frameBytes: frameBytes)
                for frame in frames.dropLast() { #expect(try take(frame, &assembler) == nil) }
                #expect(try take(frames.last!, &assembler) == message)
                // Nothing is left of it.
                let next: [UInt8] = [5, 0, 0, 0, 7, 0, 0, 0]
                #expect(try take(next, &assembler) == next)
            }
        }
    }

    @Test func otherFramesMayStandBetween() throws {
        var assembler = FragmentAssembler()
        let pieces = frames(message(30), frameBytes: 18)
        let other: [UInt8] = [11, 0, 0, 0, 7, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
        #expect(try take(pieces[0], &assembler) == nil)
        #expect(try take(other, &assembler) == other)
        #expect(try take(pieces[1], &assembler) == nil)
        #expect(try take(pieces[2], &assembler) == message(30))
        // But not those of another message.
        #expect(try take(pieces[0], &assembler) == nil)
        var foreign = pieces[1]
        foreign[4] = 8
        #expect(throws: FrameError.self) { try take(foreign, &assembler) }
    }

    @Test func whatIsNeverCutIsRefused() {
        for type in [1, 6, 7, 11, 32, 99, 129, 130] as [UInt8] {
            var assembler = FragmentAssembler()
            #expect(throws: FrameError.self) { try take([type, 1, 0, 0, 7, 0, 0, 0, 1], &assembler) }
        }
        var assembler = FragmentAssembler()
        #expect(throws: FrameError.self) { try take([20, 1, 0, 0, 7, 0, 0, 0], &assembler) }
        #expect(throws: FrameError.self) { try take([20, 2, 0, 0, 7, 0, 0, 0, 1], &assembler) }
    }

    @Test func theWholeIsBounded() throws {
        var assembler = FragmentAssembler()
        var piece = [UInt8](repeating: 0, count: 8184)
        (piece[0], piece[1]) = (20, 1)
        var taken = 8
        while taken + 8176 <= FrameLimits.messageBytesMax {
            #expect(try take(piece, &assembler) == nil)
            taken += 8176
        }
        #expect(throws: FrameError.self) { try take(piece, &assembler) }
        // As long as may be is built, a byte more is not.
        let room = [UInt8](repeating: 1, count: FrameLimits.messageBytesMax)
        for (count, fits) in [(room.count, true), (room.count + 1, false)] {
            let built = Fragments.message { writer in
                for _ in 0..<count { writer.integer(UInt8(1)) }
            }
            #expect((built == room) == fits && (built == nil) == !fits)
        }
        #expect(Fragments.message { $0.string(String(repeating: "x", count: 65_536)) } == nil)
    }
}
