import FakeNode
import Inventory
import Resources
import Testing

@Suite struct PreferredAllocationTests {
    /// Two cards under one host bridge, one under another of the same node, one on the other node.
    static func device(_ name: String, _ number: Int, _ pci: String, _ root: String, _ node: Int) -> FakeDevice {
        var device = FakeDevice(name, uverbs: number, pci: pci)
        device.root = root
        device.numaNode = node
        return device
    }

    static let devices = [
        device("a", 0, "0000:3b:00.0", "pci0000:3a", 0), device("b", 1, "0000:3b:00.1", "pci0000:3a", 0),
        device("c", 2, "0000:5e:00.0", "pci0000:5d", 0), device("d", 3, "0000:af:00.0", "pci0000:ae", 1),
    ]

    func choose(
        _ count: Int, shares: Int? = nil, _ preference: Preference = .pack, without: [String] = [],
        required: [String] = []
    ) throws -> [String] {
        var bench = PoolBench(Self.devices)
        let pool = try bench.pool(shares: shares, preference: preference)
        let available = pool.entries.map(\.id).filter { !without.contains($0) }.shuffled()
        let choice = PreferredAllocation.choose(count, of: available, required: required, in: pool)
        #expect(Set(choice).count == choice.count)
        #expect(Set(choice).isSubset(of: available))
        return choice
    }

    func devicesOf(_ ids: [String]) -> [String] { ids.map { String($0.prefix(12)) } }

    @Test func packTakesSharesOfOneDevice() throws {
        #expect(try Set(devicesOf(choose(3, shares: 4))).count == 1)
    }

    @Test func packTakesTheLeastLoadedDevice() throws {
        let taken = ["0000:3b:00.0-0", "0000:3b:00.1-1", "0000:5e:00.0-0"]
        #expect(try devicesOf(choose(1, shares: 2, without: taken)) == ["0000:af:00.0"])
    }

    @Test func packTakesOneRoot() throws {
        #expect(try devicesOf(choose(2)) == ["0000:3b:00.0", "0000:3b:00.1"])
    }

    @Test func packTakesOneNode() throws {
        #expect(try Set(devicesOf(choose(3))) == ["0000:3b:00.0", "0000:3b:00.1", "0000:5e:00.0"])
        let choice = try choose(2, without: ["0000:3b:00.0-0"])
        #expect(devicesOf(choice) == ["0000:3b:00.1", "0000:5e:00.0"])
    }

    @Test func packLeavesLargeGroups() throws {
        // One of the two lonely devices, not half of the pair.
        let choice = try choose(1)
        #expect(["0000:5e:00.0", "0000:af:00.0"].contains(devicesOf(choice)[0]))
    }

    @Test func requiredIsKeptAndItsNeighboursPreferred() throws {
        #expect(try choose(2, required: ["0000:3b:00.1-0"]) == ["0000:3b:00.1-0", "0000:3b:00.0-0"])
        #expect(try choose(1, required: ["0000:af:00.0-0"]) == ["0000:af:00.0-0"])
    }

    @Test func spreadTakesOtherDevicesAndNodes() throws {
        #expect(try Set(devicesOf(choose(2, shares: 4, .spread))).count == 2)
        #expect(try Set(devicesOf(choose(4, shares: 4, .spread))).count == 4)
        #expect(try devicesOf(choose(2, shares: 4, .spread)).contains("0000:af:00.0"))
        let six = try devicesOf(choose(6, shares: 4, .spread))
        #expect(Dictionary(six.map { ($0, 1) }, uniquingKeysWith: +).values.allSatisfy { $0 <= 2 })
    }

    @Test func notEnoughGivesWhatThereIs() throws {
        #expect(try choose(9).count == 4)
        #expect(try choose(0).isEmpty)
    }

    @Test func sameQuestionSameAnswer() throws {
        let first = try choose(3, shares: 8, .spread)
        for _ in 0..<20 { #expect(try choose(3, shares: 8, .spread) == first) }
    }

    @Test func seatsAreTakenInOrder() {
        let pool = Pool(ResourceDefinition(name: "a/b", kind: .seats(3)), seats: [true, true, true])
        #expect(
            PreferredAllocation.choose(2, of: ["seat-2", "seat-1"], required: ["seat-1"], in: pool)
                == ["seat-1", "seat-2"])
    }
}
