import Testing

@testable import RdmadClient

@Suite struct PartitionerTests {
    /// From Apache Kafka's UtilsTest.testMurmur2, and "abc".
    @Test(arguments: [
        ("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ])
    func murmur2(key: String, hash: Int32) {
        #expect(Partitioner.murmur2(Array(key.utf8)) == hash)
    }

    @Test func emptyKeyAndEveryTailLength() {
        // Kafka's vector for the bytes of "" is not published: only that none of the lengths modulo four traps.
        for length in 0..<9 { _ = Partitioner.murmur2([UInt8](repeating: 0xff, count: length)) }
    }

    @Test func negativeHashesGiveAPartitionToo() {
        // toPositive clears the sign bit; abs would give another partition.
        #expect(
            Partitioner.partition(forKey: Array("21".utf8), count: 1000) == Int(Int32(-973_932_308) & 0x7fff_ffff)
                % 1000)
        for number in 0..<1000 {
            #expect((0..<7).contains(Partitioner.partition(forKey: Array("\(number)".utf8), count: 7)))
        }
    }
}
