internal import CLinux
import Glibc

// Idle connections are probed, for a device notices a dead peer only by what it has sent.
extension VerbsFabric {
    /// Probes every idle connection, when it is time to. The timer only ends a sleep, the clock decides.
    func probeWhenDue() {
        let now = monotonicNanoseconds()
        guard now >= nextProbe else { return }
        nextProbe = now + peerTimeout.probeNanoseconds
        var expirations: UInt64 = 0
        _ = unsafe Glibc.read(probeTimer, &expirations, 8)
        for connection in connections.all where unsafe connection.lane.pointee.probe() {
            unsafe lanes.pointee.table.markDirty(connection.lane)
        }
        flush()
    }
}
