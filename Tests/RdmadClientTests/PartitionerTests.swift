import Testing

@testable import RdmadClient

@Suite struct PartitionerTests {
    /// From Apache Kafka's UtilsTest.testMurmur2, and from librdkafka's unittest_murmur2 those of every tail length.
    @Test(arguments: [
        ("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
        ("", 275_646_681), ("4", 1_514_888_353), ("34", -2_026_295_078), ("234", -406_844_982),
        ("1234", -1_614_185_708), ("kafka", -798_503_068), ("giberish123456789", -1_890_243_828),
        ("PreAmbleWillBeRemoved,ThePrePartThatIs", 2_017_611_548),
        ("AmbleWillBeRemoved,ThePrePartThatIs", 1_656_271_935),
    ])
    func murmur2(key: String, hash: Int32) {
        #expect(Partitioner.murmur2(Array(key.utf8)) == hash)
    }

    /// Bytes 0xff, which a signed byte would spread over the word. From a murmur2 in Python, written for this, that
    /// gives the vectors above, too.
    @Test(arguments: [
        (1, -311_467_685), (2, -1_642_832_928), (3, 1_548_199_422), (4, 644_171_429), (5, -363_838_622),
        (6, 28_450_676), (7, -71_293_549), (8, 185_950_397),
    ])
    func murmur2OfHighBytes(count: Int, hash: Int32) {
        #expect(Partitioner.murmur2([UInt8](repeating: 0xff, count: count)) == hash)
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
