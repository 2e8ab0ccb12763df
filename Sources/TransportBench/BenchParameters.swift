/// What a client tells the server when it connects, for one size: 56 bytes of private data hold it.
///
/// ```
/// "rdbt" u32 | version u8 | test u8 | events u8 | last u8 | size u32 | iterations u32 | send depth u16 |
/// receive depth u16 | post list u16 | inline u16 | moderation u32 | key u32 | address u64 | duration s u16 | 0 u16
/// ```
struct BenchParameters: Equatable {
    static let magic: UInt32 = 0x7462_6472
    static let version: UInt8 = 2
    static let byteCount = 44

    var test = BenchTest.sendBandwidth
    var usesEvents = false
    /// No size follows.
    var isLast = true
    var size = 0
    var iterations = 0
    var durationSeconds = 0
    var sendDepth = 0
    var receiveDepth = 0
    var postList = 0
    var inlineBytes = 0
    var moderation = 0
    var key: UInt32 = 0
    var address: UInt64 = 0

    init(_ options: BenchOptions, _ test: BenchTest, size: Int, isLast: Bool) {
        self.test = test
        usesEvents = options.usesEvents
        self.isLast = isLast
        self.size = size
        durationSeconds = options.durationSeconds
        iterations = options.iterations
        sendDepth = options.sendDepth
        receiveDepth = options.receiveDepth
        postList = options.postList
        inlineBytes = options.inlineBytes
        moderation = options.moderation
    }

    /// The bytes travel in the request itself.
    var travelsInline: Bool {
        let carries = test.isSend || test == .writeBandwidth || test == .writeLatency
        return carries && size <= inlineBytes
    }
    /// Whole lists, so perhaps a few more than asked for.
    var messageCount: Int { (iterations + postList - 1) / postList * postList }

    var encoded: [UInt8] {
        func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
            (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
        }
        let flags = [
            Self.version, UInt8(BenchTest.allCases.firstIndex(of: test)!), usesEvents ? 1 : 0, isLast ? 1 : 0,
        ]
        return bytes(Self.magic) + flags + bytes(UInt32(size)) + bytes(UInt32(iterations)) + bytes(UInt16(sendDepth))
            + bytes(UInt16(receiveDepth)) + bytes(UInt16(postList)) + bytes(UInt16(inlineBytes))
            + bytes(UInt32(moderation)) + bytes(key) + bytes(address) + bytes(UInt16(durationSeconds)) + [0, 0]
    }

    /// Nothing of a peer's is believed before it is within the limits of ``BenchOptions/problem()``.
    init(parsing bytes: [UInt8]) throws(BenchError) {
        func word(_ at: Int, _ count: Int) -> UInt64 {
            (0..<count).reduce(0) { $0 | UInt64(bytes[at + $1]) << ($1 * 8) }
        }
        guard bytes.count >= Self.byteCount, word(0, 4) == UInt64(Self.magic) else {
            throw BenchError("the peer is no transport bench")
        }
        guard bytes[4] == Self.version else {
            throw BenchError("the peer speaks version \(bytes[4]) of the bench's protocol, this side \(Self.version)")
        }
        guard Int(bytes[5]) < BenchTest.allCases.count else { throw BenchError("the peer asks for an unknown test") }
        test = BenchTest.allCases[Int(bytes[5])]
        (usesEvents, isLast) = (bytes[6] != 0, bytes[7] != 0)
        (size, iterations) = (Int(word(8, 4)), Int(word(12, 4)))
        (sendDepth, receiveDepth) = (Int(word(16, 2)), Int(word(18, 2)))
        (postList, inlineBytes) = (Int(word(20, 2)), Int(word(22, 2)))
        moderation = Int(word(24, 4))
        key = UInt32(word(28, 4))
        address = word(32, 8)
        durationSeconds = Int(word(40, 2))
        if test.isAtomic, size != 8 { throw BenchError("the peer asks for atomics of \(size) bytes: they have 8") }
        if let problem = options.problem() { throw BenchError("the peer asks for the impossible: \(problem)") }
    }

    private var options: BenchOptions {
        var options = BenchOptions()
        options.tests = [test]
        options.sizes = [size]
        options.durationSeconds = durationSeconds
        options.iterations = iterations
        (options.sendDepth, options.receiveDepth, options.postList) = (sendDepth, receiveDepth, postList)
        (options.inlineBytes, options.moderation) = (inlineBytes, moderation)
        return options
    }
}
