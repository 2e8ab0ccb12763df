import FakeNode
import Inventory
import Resources
import Testing

/// Pools over the scanner's inventory of made-up nodes.
struct PoolBench {
    let node = FakeNode()
    var health = HealthMonitor(debounce: .zero)
    var scanner: Scanner { Scanner(sysfsRoot: node.sysfs, deviceRoot: node.devices) }

    init(_ devices: [FakeDevice]) { for device in devices { node.add(device) } }

    mutating func pool(
        shares: Int? = nil, _ selectors: [Selector]? = nil, health policy: HealthPolicy = .anyPort,
        preference: Preference = .pack, includesManagement: Bool = false
    ) throws -> Pool {
        let inventory = scanner.scan()
        let identities = DeviceIdentity.identities(of: inventory.devices)
        var seen: [HealthMonitor.Key: Bool] = [:]
        for device in inventory.devices {
            for policy in HealthPolicy.allCases {
                seen[.init(identity: identities[device.name] ?? "", policy: policy)] = policy.accepts(device)
            }
        }
        // Twice, so that a change has lasted.
        health.observe(seen, at: .zero)
        health.observe(seen, at: .zero)
        var rules = ResourceDefinition.DeviceRules(
            selectors: try selectors ?? [Selector([(.rdmaDevices, [Pattern("*")])])], shares: shares)
        rules.health = policy
        rules.preference = preference
        rules.includesManagement = includesManagement
        return Pool(ResourceDefinition(name: "rdmad.dev/hca", kind: .devices(rules)), inventory, health)
    }
}

@Suite struct PoolTests {
    @Test func idsComeFromBusAndNotFromOrder() throws {
        var bench = PoolBench([.roce, .infiniband, .rxe])
        let ids = try bench.pool(shares: 2).entries.map(\.id)
        #expect(
            ids == [
                "0000:3b:00.0-0", "0000:3b:00.0-1", "0000:af:00.0-0", "0000:af:00.0-1", "rxe0-0", "rxe0-1",
            ])
        // The next boot finds the same cards in another order.
        var (first, second) = (FakeDevice.roce, FakeDevice.infiniband)
        swap(&first.name, &second.name)
        swap(&first.uverbs, &second.uverbs)
        var other = PoolBench([.rxe, first, second])
        let pool = try other.pool(shares: 2)
        #expect(pool.entries.map(\.id) == ids)
        #expect(pool.member(of: "0000:3b:00.0-1")?.device.name == "mlx5_1")
    }

    @Test func moreSharesKeepTheOldIds() throws {
        var bench = PoolBench([.roce])
        let few = try bench.pool().entries.map(\.id)
        let many = try bench.pool(shares: 64).entries.map(\.id)
        #expect(few == ["0000:3b:00.0-0"])
        #expect(many.count == 64)
        #expect(Set(many).isSuperset(of: few))
    }

    @Test func siblingsOnOneFunctionDiffer() throws {
        var twin = FakeDevice.roce
        twin.name = "mlx5_9"
        twin.uverbs = 9
        var bench = PoolBench([.roce, twin])
        // The first one's id is the same with a sibling and without.
        #expect(try bench.pool().entries.map(\.id) == ["0000:3b:00.0-0", "0000:3b:00.0.mlx5_9-0"])
        bench.node.removeDevice(twin)
        #expect(try bench.pool().entries.map(\.id) == ["0000:3b:00.0-0"])
    }

    @Test func subfunctionIsNamedByItsOwnNumber() throws {
        var bench = PoolBench([.roce])
        let place = "sys/devices/pci0000:3a/0000:3b:00.0/mlx5_core.sf.4"
        bench.node.write("\(place)/sfnum", "88\n")
        bench.node.make("\(place)/infiniband/mlx5_4")
        bench.node.link("\(place)/infiniband/mlx5_4/device", to: place)
        bench.node.link("sys/class/infiniband/mlx5_4", to: "\(place)/infiniband/mlx5_4")
        #expect(try bench.pool().entries.map(\.id) == ["0000:3b:00.0-0", "0000:3b:00.0.sf88-0"])
    }

    @Test func longNamesFitTheLimit() throws {
        var devices = [FakeDevice.rxe, .rxe]
        devices[0].name = String(repeating: "r", count: 63)
        devices[1].name = String(repeating: "r", count: 62)
        devices[1].uverbs = 7
        var bench = PoolBench(devices)
        let ids = try bench.pool(shares: 10_000).entries.map(\.id)
        #expect(Set(ids).count == 20_000)
        #expect(ids.allSatisfy { $0.count <= 63 })
    }

    @Test func listFitsTheKubeletsMessages() throws {
        let devices = (0..<6).map { number in
            var device = FakeDevice.rxe
            (device.name, device.uverbs) = ("rxe\(number)", number)
            return device
        }
        var bench = PoolBench(devices)
        let pool = try bench.pool(shares: 10_000)
        #expect(pool.shares == 8333)
        #expect(pool.entries.count == 49_998)
        #expect(pool.member(of: "rxe5-8332") != nil)
        #expect(pool.member(of: "rxe5-8333") == nil)
    }

    @Test func selectorsNarrow() throws {
        var bench = PoolBench([.roce, .virtualFunction, .infiniband, .irdma, .rxe, .siw])
        func names(_ fields: [(Selector.Field, [String])]) throws -> [String] {
            let selector = Selector(try fields.map { ($0.0, try $0.1.map { try Pattern($0) }) })
            return try bench.pool([selector]).members.map(\.device.name).sorted()
        }
        #expect(try names([(.vendors, ["15b3"])]) == ["mlx5_0", "mlx5_1", "mlx5_2"])
        #expect(try names([(.vendors, ["15b3"]), (.deviceIDs, ["1018"])]) == ["mlx5_2"])
        #expect(
            try names([(.vendors, ["15b3", "8086"]), (.linkLayers, ["ethernet"])]) == ["irdma0", "mlx5_0", "mlx5_2"])
        #expect(try names([(.drivers, ["siw", "rdma_*"])]) == ["rxe0", "siw0"])
        #expect(try names([(.ifNames, ["en*"])]) == ["irdma0", "mlx5_0", "mlx5_2"])
        #expect(try names([(.linkTypes, ["ether"])]) == ["irdma0", "mlx5_0", "mlx5_2", "rxe0", "siw0"])
        #expect(try names([(.pciAddresses, ["0000:3b:00.*"])]) == ["mlx5_0", "mlx5_2"])
        #expect(try names([(.portStates, ["down"])]) == [])
        #expect(try names([(.rdmaDevices, ["~(mlx5|siw)_?[01]"])]) == ["mlx5_0", "mlx5_1", "siw0"])
    }

    @Test func topologyIsOmittedWhereThereIsNone() throws {
        var bench = PoolBench([.roce, .infiniband, .irdma, .rxe])
        #expect(try bench.pool().entries.map(\.numaNode) == [nil, 0, 1, nil])
    }

    @Test func healthFollowsPortsByPolicy() throws {
        var device = FakeDevice.infiniband
        device.states = ["4: ACTIVE", "1: DOWN"]
        var bench = PoolBench([device])
        #expect(try bench.pool(health: .anyPort).entries.map(\.isHealthy) == [true])
        #expect(try bench.pool(health: .allPorts).entries.map(\.isHealthy) == [false])
        bench.node.setState("mlx5_1", port: 2, "4: ACTIVE")
        #expect(try bench.pool(health: .allPorts).entries.map(\.isHealthy) == [true])
        bench.node.setState("mlx5_1", port: 1, "2: INIT")
        bench.node.setState("mlx5_1", port: 2, "1: DOWN")
        #expect(try bench.pool(health: .anyPort).entries.map(\.isHealthy) == [false])
    }

    @Test func deviceWithoutNodeIsUnhealthy() throws {
        var bench = PoolBench([.roce])
        bench.node.remove("dev/infiniband/uverbs0")
        #expect(try bench.pool().entries.map(\.isHealthy) == [false])
    }

    @Test func foreignIdsNameNothing() throws {
        var bench = PoolBench([.roce])
        let pool = try bench.pool(shares: 2)
        for id in [
            "", "-", "0000:3b:00.0", "0000:3b:00.0-", "0000:3b:00.0-2", "0000:3b:00.0--1", "0000:3b:00.0-01", "7",
        ] {
            #expect(pool.member(of: id) == nil, "\(id)")
        }
        #expect(pool.member(of: "0000:3b:00.0-1") != nil)
    }
}
