package import BrokerCore
package import Logging
package import RDMATransport
internal import Reactor

/// Opens the fabric doors. Each has an arena of its own, registered once.
package enum Doors {
    /// Smallest arena that holds the longest batch on both of its sides, in bytes.
    package static let arenaBytesMin = 16 << 20

    /// The arena: `byteCount` is at least ``arenaBytesMin``.
    private static func makeArena(byteCount: Int) throws(FabricError) -> MemoryBlock {
        try MemoryBlock(byteCount: byteCount, name: "rdmad-arena")
    }

    /// With room for connections that are told that there is none.
    private static func configuration(_ limits: DoorLimits) -> FabricConfiguration {
        var configuration = FabricConfiguration.broker
        configuration.connectionsMax = limits.connectionsMax + 24
        configuration.messagesInFlight = limits.messagesInFlight
        return configuration
    }

    /// Listens on a Unix socket for clients on this node.
    package static func sharedMemory(
        path: String, number: Int, broker: Broker, limits: DoorLimits, arenaBytes: Int, log: Logger
    ) throws(FabricError) -> any CountedDoor {
        let fabric = try SharedMemoryFabric(configuration: configuration(limits))
        try fabric.listen(path: path)
        return try FabricDoor(
            fabric: fabric, address: "shm://\(path)", number: number, broker: broker,
            memory: try makeArena(byteCount: arenaBytes), limits: limits, log: log)
    }

    /// Listens at a node's seats. No seat's clients take connections away from another seat: there are enough for all.
    package static func seats(
        _ seats: Seats, number: Int, broker: Broker, limits: DoorLimits, arenaBytes: Int, log: Logger
    ) throws(FabricError) -> any CountedDoor {
        var limits = limits
        limits.connectionsMax = seats.totalConnectionsMax
        var configuration = configuration(limits)
        // With room for some that are told that there is none.
        configuration.connectionsPerListenerMax = seats.connectionsMax + 4
        configuration.connectionsMax = seats.count * configuration.connectionsPerListenerMax
        let fabric = try SharedMemoryFabric(configuration: configuration)
        try seats.listen(fabric)
        if seats.isOpenToOthers {
            log.warning(
                "other users of this node may come to every seat",
                metadata: ["directory": "\(seats.directory)", "do": "chmod 700 \(seats.directory)"])
        }
        return try FabricDoor(
            fabric: fabric, address: seats.address, number: number, broker: broker,
            memory: try makeArena(byteCount: arenaBytes), limits: limits, seats: seats, log: log)
    }

    /// Listens at an address of an RDMA device.
    package static func verbs(
        host: String, port: UInt16, number: Int, broker: Broker, limits: DoorLimits, arenaBytes: Int, log: Logger
    ) throws(FabricError) -> any CountedDoor {
        let fabric = try VerbsFabric(listening: host, port: port, configuration: configuration(limits))
        return try FabricDoor(
            fabric: fabric, address: "rdma://\(host):\(fabric.localPort) on \(fabric.context.name)", number: number,
            broker: broker, memory: try makeArena(byteCount: arenaBytes), limits: limits, log: log)
    }
}
