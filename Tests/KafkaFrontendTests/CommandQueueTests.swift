import Glibc
import Testing

@testable import KafkaFrontend

struct CommandQueueTests {
    private func command(_ number: UInt32) -> KafkaCommand {
        KafkaCommand(connection: 1, number: number, version: 0, body: .closed)
    }

    private func isReadable(_ descriptor: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&entry, 1, 0) == 1
    }

    @Test func commandsKeepTheirOrderAndWakeOnlyTheSleeper() {
        let queue = CommandQueue()
        queue.add([command(1), command(2)])
        #expect(!isReadable(queue.descriptor))
        #expect(!queue.prepareToSleep())
        var taken: [KafkaCommand] = []
        queue.take(into: &taken)
        #expect(taken.map(\.number) == [1, 2])
        taken.removeAll()
        #expect(queue.prepareToSleep())
        queue.add([command(3)])
        #expect(isReadable(queue.descriptor))
        queue.take(into: &taken)
        #expect(taken.map(\.number) == [3])
        #expect(queue.prepareToSleep() && !isReadable(queue.descriptor))
    }
}
