import FakeNode
import Glibc
import Inventory
import Testing

@Suite struct ScannerTests {
    let node = FakeNode()
    var scanner: Scanner { Scanner(sysfsRoot: node.sysfs, deviceRoot: node.devices) }

    func scan(_ device: FakeDevice) throws -> RDMADevice {
        node.add(device)
        return try #require(scanner.scan().devices.first { $0.name == device.name })
    }

    @Test func findsPhysicalFunctionOnEthernet() throws {
        let device = try scan(.roce)
        #expect(device.pci?.address == "0000:3b:00.0")
        #expect(device.pci?.root == "pci0000:3a")
        #expect(device.pci?.vendor == "15b3")
        #expect(device.pci?.device == "1017")
        #expect(device.pci?.physicalFunction == nil)
        #expect(device.driver == "mlx5_core")
        #expect(device.numaNode == 0)
        #expect(device.netdevs.map(\.name) == ["enp59s0f0np0"])
        #expect(device.netdevs.map(\.linkType) == ["ether"])
        #expect(device.ports.map(\.number) == [1])
        #expect(device.ports.map(\.state) == ["ACTIVE"])
        #expect(device.ports.map(\.linkLayer) == ["Ethernet"])
        #expect(device.verbs == "uverbs0")
        #expect(device.management == ["issm0", "umad0"])
    }

    @Test func findsVirtualFunctionWithoutManagement() throws {
        let device = try scan(.virtualFunction)
        #expect(device.pci?.physicalFunction == "0000:3b:00.0")
        #expect(device.management.isEmpty)
        #expect(device.verbs == "uverbs2")
    }

    @Test func findsInfiniBandWithoutInterface() throws {
        let device = try scan(.infiniband)
        #expect(device.netdevs.isEmpty)
        #expect(device.ports.map(\.linkLayer) == ["InfiniBand"])
        #expect(device.numaNode == 1)
    }

    @Test func findsIntelWithoutManagementOrNode() throws {
        let device = try scan(.irdma)
        #expect(device.driver == "ice")
        #expect(device.numaNode == nil)
        #expect(device.management.isEmpty)
    }

    @Test func findsSoftRoCE() throws {
        let device = try scan(.rxe)
        #expect(device.driver == "rdma_rxe")
        #expect(device.pci == nil)
        #expect(device.netdevs.map(\.name) == ["eth0"])
    }

    /// Kernels differ: some give software the parent of its interface, which is a card's function.
    @Test func softwareOnCardIsNotTheCard() throws {
        var siw = FakeDevice.siw
        siw.pci = "0000:00:03.0"
        let device = try scan(siw)
        #expect(device.driver == "siw")
        #expect(device.pci == nil)
    }

    @Test func findsDeviceBelowFunction() throws {
        node.add(.roce)
        let function = "sys/devices/pci0000:3a/0000:3b:00.0"
        node.make("\(function)/mlx5_core.sf.4/infiniband/mlx5_4")
        node.link("\(function)/mlx5_core.sf.4/infiniband/mlx5_4/device", to: "\(function)/mlx5_core.sf.4")
        node.link("sys/class/infiniband/mlx5_4", to: "\(function)/mlx5_core.sf.4/infiniband/mlx5_4")
        let device = try #require(scanner.scan().devices.first { $0.name == "mlx5_4" })
        #expect(device.pci?.address == "0000:3b:00.0")
        #expect(device.pci?.auxiliary == "mlx5_core.sf.4")
        #expect(device.pci?.vendor == "15b3")
        #expect(device.driver == "mlx5_core")
        #expect(device.numaNode == 0)
        #expect(device.pci?.subfunction == nil)
        node.write("\(function)/mlx5_core.sf.4/sfnum", "88\n")
        let subfunction = try #require(scanner.scan().devices.first { $0.name == "mlx5_4" })
        #expect(subfunction.pci?.subfunction == 88)
    }

    @Test func saysWhyDeviceCannotBeUsed() throws {
        var device = FakeDevice.roce
        device.uverbs = nil
        #expect(try scan(device).verbs == nil)
        node.add(.infiniband)
        node.remove("dev/infiniband/uverbs1")
        let inventory = scanner.scan()
        #expect(inventory.devices.allSatisfy { $0.verbs == nil })
        #expect(inventory.remarks.count == 2)
        #expect(inventory.remarks.contains { $0.hasPrefix("mlx5_0: it has no uverbs device") })
        #expect(inventory.remarks.contains { $0.hasPrefix("mlx5_1:") && $0.hasSuffix("uverbs1 is missing") })
    }

    /// A plugin whose container does not see the nodes trusts sysfs.
    @Test func believesSysfsWithoutDevices() throws {
        node.remove("dev/infiniband")
        var device = FakeDevice.roce
        device.uverbs = nil
        node.add(device)
        node.write("sys/class/infiniband_verbs/uverbs0/ibdev", "mlx5_0\n")
        #expect(scanner.scan().devices.first?.verbs == "uverbs0")
    }

    /// What a container sees of a directory that was removed and made anew on the host.
    @Test func believesSysfsOverRemovedDirectory() throws {
        node.add(.roce)
        node.make("mounted")
        let fd = unsafe open("\(node.root)/mounted", O_RDONLY)
        defer { close(fd) }
        node.remove("mounted")
        node.remove("dev/infiniband")
        unsafe symlink("/proc/self/fd/\(fd)", "\(node.root)/dev/infiniband")
        #expect(scanner.scan().devices.first?.verbs == "uverbs0")
    }

    @Test func readsNamespaceMode() {
        #expect(scanner.scan().isExclusiveNamespace == nil)
        node.write("sys/module/ib_core/parameters/netns_mode", "Y\n")
        #expect(scanner.scan().isExclusiveNamespace == false)
        node.write("sys/module/ib_core/parameters/netns_mode", "N\n")
        #expect(scanner.scan().isExclusiveNamespace == true)
    }

    @Test func readsAddressesButNotEmptyOnes() throws {
        let device = try scan(.roce)
        let gids = scanner.gids(of: device)
        #expect(gids.map(\.index) == [0])
        #expect(gids.first?.type == "RoCE v2")
        #expect(gids.first?.netdev == "enp59s0f0np0")
        for index in 2..<40 {
            node.write(
                "sys/class/infiniband/mlx5_0/ports/1/gids/\(index)", "0000:0000:0000:0000:0000:ffff:0a00:00\(index)\n")
        }
        #expect(scanner.gids(of: device).map(\.index) == [0] + Array(2..<33))
    }

    @Test func emptyNodeHasNothing() {
        #expect(Scanner(sysfsRoot: "\(node.root)/none", deviceRoot: "\(node.root)/none").scan() == .empty)
    }
}
