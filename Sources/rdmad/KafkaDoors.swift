import BrokerCore
import KafkaFrontend
import Logging
import Reactor

/// The Kafka listeners of a broker, with what they share.
struct KafkaDoors {
    let settings: KafkaSettings
    let connectionsMax: Int
    let inspectsRecords: Bool
    private var resources: NetworkResources?
    private var count = 0

    init(settings: KafkaSettings, connectionsMax: Int, inspectsRecords: Bool) {
        self.settings = settings
        self.connectionsMax = connectionsMax
        self.inspectsRecords = inspectsRecords
    }

    mutating func open(
        _ address: KafkaAddress, number: Int, _ broker: Broker, _ log: Logger
    ) throws -> any Door {
        let resources =
            try self.resources
            ?? NetworkResources(
                settings.network(connectionsMax: connectionsMax, inspectsRecords: inspectsRecords))
        self.resources = resources
        let options = try settings.door(address, index: count)
        count += 1
        let door = try KafkaListener.open(
            host: address.host, port: address.port, security: try settings.connections.security(address),
            options: options, number: number,
            broker: broker, resources: resources, log: log)
        log.notice("Kafka clients are told to connect to", metadata: ["address": "\(door.advertised)"])
        return door
    }

    /// Ends the event loops: after the doors.
    func shutdown() { resources?.shutdown() }
}
