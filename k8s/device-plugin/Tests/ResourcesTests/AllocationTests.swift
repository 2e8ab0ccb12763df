import FakeNode
import Foundation
import Testing

@testable import Inventory
@testable import Resources

@Suite struct AllocationTests {
    func allocate(
        _ ids: [String], of pool: Pool, _ injection: Allocation.Injection = .nodes
    ) throws(Allocation.Refusal) -> Allocation {
        try Allocation(ids, of: pool, injection: injection, seatDirectory: "/run/rdmad/seats") { device in
            [GID(port: 1, index: 3, value: "fe80::\(device.name)", type: "RoCE v2", netdev: "eth0")]
        }
    }

    @Test func givesOnlyWhatWasAskedFor() throws {
        var bench = PoolBench([.roce, .infiniband, .rxe])
        let pool = try bench.pool(shares: 2)
        let one = try allocate(["0000:3b:00.0-1"], of: pool)
        #expect(one.deviceNodes == ["uverbs0", "rdma_cm"])
        #expect(one.cdiDevices.isEmpty)
        #expect(one.mounts.isEmpty)
        #expect(one.environment["RDMAD_DEVICES"] == "mlx5_0")
        #expect(one.environment["PCIDEVICE_RDMAD_DEV_HCA"] == "0000:3b:00.0")
        let two = try allocate(["0000:3b:00.0-0", "rxe0-0", "0000:3b:00.0-1"], of: pool)
        #expect(
            two.deviceNodes == ["uverbs0", "uverbs4", "rdma_cm"])
        #expect(two.environment["RDMAD_DEVICES"] == "mlx5_0,rxe0")
        #expect(two.environment["PCIDEVICE_RDMAD_DEV_HCA"] == "0000:3b:00.0,rxe0")
    }

    @Test func managementOnlyWhereAskedForAndThere() throws {
        var bench = PoolBench([.roce, .virtualFunction])
        let pool = try bench.pool(includesManagement: true)
        #expect(
            try allocate(["0000:3b:00.0-0"], of: pool).deviceNodes
                == ["uverbs0", "issm0", "umad0", "rdma_cm"])
        #expect(
            try allocate(["0000:3b:00.2-0"], of: pool).deviceNodes
                == ["uverbs2", "rdma_cm"])
    }

    @Test func withoutConnectionManagerThereIsNone() throws {
        var bench = PoolBench([.roce])
        bench.node.remove("dev/infiniband/rdma_cm")
        #expect(try allocate(["0000:3b:00.0-0"], of: bench.pool()).deviceNodes == ["uverbs0"])
    }

    @Test func informationIsJSON() throws {
        var bench = PoolBench([.roce])
        let environment = try allocate(["0000:3b:00.0-0"], of: bench.pool()).environment
        let object = try JSONSerialization.jsonObject(with: Data(try #require(environment["RDMAD_DEVICE_INFO"]).utf8))
        let first = try #require((object as? [[String: Any]])?.first)
        #expect(first["name"] as? String == "mlx5_0")
        #expect(first["uverbs"] as? String == "/dev/infiniband/uverbs0")
        #expect(first["numaNode"] as? Int == 0)
        #expect(first["netdevs"] as? [String] == ["enp59s0f0np0"])
        #expect((first["gids"] as? [[String: Any]])?.first?["index"] as? Int == 3)
        #expect(
            environment["PCIDEVICE_RDMAD_DEV_HCA_INFO"] == """
                {"0000:3b:00.0":{"rdma":{"rdma_dev":"mlx5_0","uverbs":"/dev/infiniband/uverbs0",\
                "rdma_cm":"/dev/infiniband/rdma_cm"}}}
                """)
    }

    @Test func cdiNamesReplaceOrAccompanyNodes() throws {
        var bench = PoolBench([.roce])
        let pool = try bench.pool()
        let cdi = try allocate(["0000:3b:00.0-0"], of: pool, .cdi)
        #expect(cdi.cdiDevices == ["rdmad.dev/hca=mlx5_0"])
        #expect(cdi.deviceNodes.isEmpty)
        let both = try allocate(["0000:3b:00.0-0"], of: pool, .both)
        #expect(both.cdiDevices == cdi.cdiDevices)
        #expect(both.deviceNodes.count == 2)
    }

    @Test func refusesUnknownAndUnhealthy() throws {
        var bench = PoolBench([.roce, .infiniband])
        bench.node.setState("mlx5_1", "1: DOWN")
        let pool = try bench.pool()
        #expect(throws: Allocation.Refusal.unknown(["x-0"], resource: "rdmad.dev/hca")) {
            try allocate(["0000:3b:00.0-0", "x-0"], of: pool)
        }
        #expect(throws: Allocation.Refusal.unhealthy(["0000:af:00.0-0"], resource: "rdmad.dev/hca")) {
            try allocate(["0000:af:00.0-0"], of: pool)
        }
        #expect(throws: Allocation.Refusal.empty(resource: "rdmad.dev/hca")) { try allocate([], of: pool) }
    }

    @Test func seatIsMount() throws {
        let pool = Pool(
            ResourceDefinition(name: "rdmad.dev/client", kind: .seats(11)), seats: .init(repeating: true, count: 11))
        let seat = try allocate(["seat-9"], of: pool)
        #expect(seat.mounts == [.init(hostPath: "/run/rdmad/seats/seat-9", containerPath: "/run/rdmad")])
        #expect(seat.environment == ["RDMAD_BROKER": "shm:///run/rdmad/rdmad.sock", "RDMAD_SEAT": "seat-9"])
        #expect(seat.deviceNodes.isEmpty)
        #expect(throws: Allocation.Refusal.severalSeats(["seat-1", "seat-0"], resource: "rdmad.dev/client")) {
            try allocate(["seat-1", "seat-0"], of: pool)
        }
    }

    @Test func seatWithoutDaemonIsRefusedAsSuch() {
        let pool = Pool(ResourceDefinition(name: "rdmad.dev/client", kind: .seats(2)), seats: [true, false])
        #expect(throws: Allocation.Refusal.absent(["seat-1"], resource: "rdmad.dev/client")) {
            try allocate(["seat-1"], of: pool)
        }
    }

    @Test func specNamesEveryDevice() throws {
        var bench = PoolBench([.roce, .rxe])
        let pool = try bench.pool(shares: 2)
        let spec = CDISpec(pool, deviceRoot: "/dev")
        #expect(spec.fileName == "rdmad.dev_hca.json")
        #expect(
            spec.text == """
                {"cdiVersion":"0.5.0","kind":"rdmad.dev/hca","devices":[\
                {"name":"mlx5_0","containerEdits":{"deviceNodes":[\
                {"path":"/dev/infiniband/uverbs0","permissions":"rw"},\
                {"path":"/dev/infiniband/rdma_cm","permissions":"rw"}]}},\
                {"name":"rxe0","containerEdits":{"deviceNodes":[\
                {"path":"/dev/infiniband/uverbs4","permissions":"rw"},\
                {"path":"/dev/infiniband/rdma_cm","permissions":"rw"}]}}]}

                """)
        #expect(CDISpec(pool, deviceRoot: "/host/dev").text.contains(#""hostPath":"/host/dev/infiniband/uverbs0""#))
        #expect(CDISpec.kind("rdmad.dev/a.b") == "rdmad.dev/a_b")
        #expect(CDISpec.kind("1a.dev/2b") == "x1a.dev/x2b")
    }
}
