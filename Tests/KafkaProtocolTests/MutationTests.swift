import KafkaProtocol
import Testing

/// Golden frames with random damage are refused, or read as something that is written and read again.
@Suite struct MutationTests {
    @Test func damagedFramesNeverTrap() throws {
        let frames = try GoldenTests.frames.get()
        var numbers = SplitMix(seed: 0x6b61_666b)
        var refused = 0
        var read = 0
        for _ in 0..<(TestLength.isLong ? 400_000 : 5_000) {
            let golden = frames.randomElement(using: &numbers)!
            let damaged = damage(golden.bytes, &numbers)
            guard let decoded = try? golden.decode(damaged) else {
                refused += 1
                continue
            }
            read += 1
            // What was read can be written, and means the same.
            let again = try golden.decode(decoded.encodedAgain)
            #expect(
                again.fields == decoded.fields && again.encodedAgain == decoded.encodedAgain, "\(golden) \(damaged)")
        }
        // Both happen, else the damage is not worth its name.
        #expect(refused > 500 && read > 500, "\(refused) refused, \(read) read")
    }

    private func damage(_ bytes: [UInt8], _ numbers: inout SplitMix) -> [UInt8] {
        var bytes = bytes
        for _ in 0...numbers.next() % 2 {
            let position = Int.random(in: 4..<bytes.count, using: &numbers)
            switch numbers.next() % 6 {
            case 0: bytes[position] ^= 1 << UInt8(numbers.next() % 8)
            case 1: bytes[position] = UInt8(truncatingIfNeeded: numbers.next())
            case 2: bytes.insert(UInt8(truncatingIfNeeded: numbers.next()), at: position)
            case 3: bytes.removeSubrange(position..<min(bytes.count, position + Int(numbers.next() % 4)))
            case 4:  // a length
                let length = [UInt8](repeating: [0x7f, 0xff, 0x80, 0][Int(numbers.next() % 4)], count: 4)
                bytes.replaceSubrange(position..<min(bytes.count, position + 4), with: length)
            default:  // a piece of it twice
                let end = min(bytes.count, position + Int(numbers.next() % 16))
                bytes.insert(contentsOf: Array(bytes[position..<end]), at: position)
            }
            if bytes.count < 6 { return bytes + [0, 0] }
        }
        return bytes
    }
}
