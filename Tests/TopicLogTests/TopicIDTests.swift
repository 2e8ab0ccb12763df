import LogSimulation
import Testing

@testable import TopicLog

@Suite struct TopicIDTests {
    let directory = TemporaryDirectory()
    var path: String { directory.child("data") }
    func catalog() -> String { String(decoding: readFile(path + "/topics"), as: UTF8.self) }

    /// Text and number are Kafka's: what `Uuid.fromString` and `Uuid.toString` of kafka-clients 4.3.0 make of them.
    @Test func readsAndWritesKafkasText() {
        let known: [(String, UInt64, UInt64)] = [
            ("AAAAAAAAAAAAAAAAAAAAAQ", 0, 1),
            ("_____________________w", .max, .max),
            ("L8RkyKT5RJuPtzIYO_4wKQ", 0x2fc4_64c8_a4f9_449b, 0x8fb7_3218_3bfe_3029),
        ]
        for (text, high, low) in known {
            #expect(TopicUUID(text) == TopicUUID(high: high, low: low))
            #expect(TopicUUID(high: high, low: low).description == text)
        }
        let bad = [
            "", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAA+", "AAAAAAAAAAAAAAAAAAAAAB",
        ]
        for text in bad { #expect(TopicUUID(text) == nil, "\(text)") }
    }

    @Test func newOnesAreOfVersion4AndNoOption() {
        for bits in [UInt64.min, .max, 62 << 58] {
            let id = TopicUUID { bits }
            #expect(id.high >> 12 & 15 == 4 && id.low >> 62 == 2)
            #expect(id.description.first != "-" && TopicUUID(id.description) == id)
        }
    }

    @Test func staysForTheTopicsLife() throws {
        let data = try openDirectory(path)
        try data.createTopic(name: "t", partitions: 1)
        try data.createTopic(name: "u", partitions: 1)
        let (id, other) = (data.id(topic: "t")!, data.id(topic: "u")!)
        #expect(id != other && data.id(topic: "v") == nil)
        try data.addPartitions(topic: "t", total: 3)
        try data.alterConfigs(topic: "t", [("retention.ms", "5")])
        #expect(data.id(topic: "t") == id)
        try data.close()
        let again = try openDirectory(path)
        #expect(again.id(topic: "t") == id && again.id(topic: "u") == other)
        try again.deleteTopic(name: "t")
        #expect(again.id(topic: "t") == nil)
        try again.createTopic(name: "t", partitions: 1)
        #expect(again.id(topic: "t") != id, "another topic of the same name")
    }

    @Test func catalogsOfEarlierVersionsAreGivenIDs() throws {
        let data = try openDirectory(path)
        try data.createTopic(name: "t", partitions: 2)
        try data.createTopic(name: "u", partitions: 1)
        let known = data.id(topic: "u")!
        try data.close()
        writeFile(path + "/topics", Array("0\n2\nt 2\nu 1 \(known)\n".utf8))
        let first = try openDirectory(path)
        let id = first.id(topic: "t")!
        #expect(first.id(topic: "u") == known)
        #expect(catalog() == "0\n2\nt 2 \(id)\nu 1 \(known)\n", "stored before anybody hears of them")
        first.releaseLock()
        #expect(try openDirectory(path).id(topic: "t") == id)
    }

    @Test func clusterIDIsMadeOnce() throws {
        let data = try openDirectory(path)
        let id = data.clusterID
        #expect(TopicUUID(id) != nil)
        try data.close()
        let again = try openDirectory(path)
        #expect(again.clusterID == id)
        try again.close()
        writeFile(path + "/cluster-id", Array("0\n0\n".utf8))
        #expect(throws: LogError.self) { try openDirectory(path) }
    }

    @Test func anUpgradeThatIsCutGivesIDsThatStay() throws {
        // At each change in turn the power goes while ids are given; the next start finds them all, and keeps them.
        for change in 1..<40 {
            let disk = SimulatedDisk(seed: UInt64(change))
            var process = disk.boot()
            let data = try LogDirectory.open(path: "/data", storage: process)
            try data.createTopic(name: "t", partitions: 1)
            try data.close()
            try FileSystem(process).replace("topics", in: "/data", with: Array("0\n1\nt 1\n".utf8))
            disk.end(losingPower: false)
            process = disk.boot(.die(atChange: change, losingPower: true))
            let cut = try? LogDirectory.open(path: "/data", storage: process)
            let told = process.isDead ? nil : cut?.id(topic: "t")
            disk.end(losingPower: true)
            let next = try LogDirectory.open(path: "/data", storage: disk.boot())
            let id = try #require(next.id(topic: "t"))
            #expect(told == nil || told == id, "change \(change)")
            disk.end(losingPower: true)
            #expect(try LogDirectory.open(path: "/data", storage: disk.boot()).id(topic: "t") == id, "change \(change)")
            disk.end(losingPower: true)
        }
    }
}
