// What the figures broker.* measure of rdmad: an application's side of a topic, one process for each role, with the
// words of Benchmarks/stream-peers.c.
// Usage: broker-bench produce URL TOPIC RECORDS BYTES [BATCH-BYTES [BUFFER-BYTES]]
//            prints when it began and when all was acknowledged, in nanoseconds of the monotonic clock
//        broker-bench paced URL TOPIC RECORDS BYTES RATE
//            a record each 1/RATE s, stamped when it is sent
//        broker-bench consume URL TOPIC RECORDS BYTES
//            prints `ready`, then when the first and the last record had come, and the bytes of their batches
//        broker-bench listen URL TOPIC RECORDS BYTES
//            the same for paced: microseconds, p50 p99 p99.9 max
//        broker-bench answer URL TOPIC RECORDS BYTES ANSWERS
//            prints `ready`, then gives every record that comes back by the topic ANSWERS
//        broker-bench ask URL TOPIC RECORDS BYTES ANSWERS
//            one record after another, the next when the last has come back: half of that time, as listen
import Glibc
import RdmadClient

struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

func nanoseconds() -> UInt64 {
    var now = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// What every role is told.
struct Task {
    let broker: BrokerAddress
    let topic: String
    let records: Int
    let bytes: Int

    init(_ words: [String]) throws {
        guard words.count >= 5, let records = Int(words[3]), records > 0, let bytes = Int(words[4]), bytes >= 8 else {
            throw Failure(
                "usage: broker-bench produce|paced|consume|listen|answer|ask URL TOPIC RECORDS BYTES (at least 8) ...")
        }
        broker = try BrokerAddress(words[1])
        topic = words[2]
        self.records = records
        self.bytes = bytes
    }

    func produce(_ configuration: Producer.Configuration) async throws {
        let producer = try await Producer(topic: topic, broker: broker, configuration: configuration)
        let value = [UInt8](repeating: UInt8(ascii: "x"), count: bytes)
        let begin = nanoseconds()
        for _ in 0..<records {
            while try !producer.trySend(value: value) {
                // As on a thread of its own: the process does nothing else.
                guard producer.waitForMemory(timeoutMilliseconds: 60_000) else {
                    throw Failure("no memory for a minute")
                }
            }
        }
        try await producer.flush()
        print(begin, nanoseconds())
        producer.close()
    }

    /// A producer that lets nothing wait.
    private func promptProducer(_ topic: String) async throws -> Producer {
        var configuration = Producer.Configuration()
        configuration.lingerMilliseconds = 0
        return try await Producer(topic: topic, broker: broker, configuration: configuration)
    }

    func paced(_ rate: Int) async throws {
        let producer = try await promptProducer(topic)
        var value = [UInt8](repeating: UInt8(ascii: "x"), count: bytes)
        var due = nanoseconds()
        for _ in 0..<records {
            due += 1_000_000_000 / UInt64(rate)
            var time = timespec(tv_sec: Int(due / 1_000_000_000), tv_nsec: Int(due % 1_000_000_000))
            while unsafe clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nil) != 0 {}
            unsafe withUnsafeBytes(of: nanoseconds()) { unsafe value.replaceSubrange(0..<8, with: $0) }
            try await producer.send(value: value)
        }
        try await producer.flush()
        producer.close()
    }

    func answer(_ answers: String) async throws {
        let consumer = try await Consumer(topic: topic, broker: broker)
        let producer = try await promptProducer(answers)
        let value = [UInt8](repeating: UInt8(ascii: "x"), count: bytes)
        print("ready")
        fflush(nil)
        for _ in 0..<records {
            try awaitRecord(consumer)
            try await producer.send(value: value)
        }
        try await producer.flush()
        producer.close()
        consumer.close()
    }

    func ask(_ answers: String, _ latencies: inout [UInt64]) async throws {
        let consumer = try await Consumer(topic: answers, broker: broker)
        let producer = try await promptProducer(topic)
        let value = [UInt8](repeating: UInt8(ascii: "x"), count: bytes)
        for _ in 0..<records {
            let begin = nanoseconds()
            try await producer.send(value: value)
            try awaitRecord(consumer)
            latencies.append((nanoseconds() - begin) / 2)
        }
        producer.close()
        consumer.close()
    }

    /// Takes the one record that is on its way.
    private func awaitRecord(_ consumer: Consumer) throws {
        guard let batches = try consumer.poll(timeoutMilliseconds: 60_000) else { throw Failure("no record came") }
        var count = 0
        try batches.forEachRecord { record in
            guard unsafe record.value?.count == bytes else { throw Failure("a record of another length") }
            count += 1
        }
        batches.release()
        guard count == 1 else { throw Failure("\(count) records where one was sent") }
    }

    /// - Parameter latencies: Takes the time that each record was on its way, if there is room.
    func consume(_ latencies: inout [UInt64]) async throws {
        let consumer = try await Consumer(topic: topic, broker: broker)
        print("ready")
        fflush(nil)
        var (seen, bytes, first) = (0, 0, UInt64(0))
        let isTimed = latencies.capacity >= records
        while seen < records {
            guard let batches = try consumer.poll(timeoutMilliseconds: 60_000) else {
                throw Failure("\(seen) of \(records) records came, then nothing for a minute")
            }
            if first == 0 { first = nanoseconds() }
            try batches.forEachRecord { record in
                guard let value = unsafe record.value, value.count == self.bytes else {
                    throw Failure("a record of another length")
                }
                seen += 1
                if isTimed { unsafe latencies.append(nanoseconds() - value.loadUnaligned(as: UInt64.self)) }
            }
            bytes += batches.byteCount
            batches.release()
        }
        if !isTimed { print(first, nanoseconds(), bytes) }
        consumer.close()
    }
}

do {
    // The kernel may wake a sleeper 50 µs late otherwise.
    let slack = unsafe open("/proc/self/timerslack_ns", O_WRONLY)
    _ = unsafe write(slack, "1", 1)
    close(slack)
    let words = Array(CommandLine.arguments.dropFirst())
    let task = try Task(words)
    func number(_ index: Int, _ other: Int) -> Int { words.count > index ? Int(words[index]) ?? other : other }
    var latencies: [UInt64] = []
    switch words[0] {
    case "produce":
        var configuration = Producer.Configuration()
        configuration.batchBytes = number(5, configuration.batchBytes)
        configuration.bufferBytes = number(6, configuration.bufferBytes)
        try await task.produce(configuration)
    case "paced": try await task.paced(max(1, number(5, 1000)))
    case "consume": try await task.consume(&latencies)
    case "answer": try await task.answer(words.last!)
    case "ask", "listen":
        latencies.reserveCapacity(task.records)
        if words[0] == "ask" {
            try await task.ask(words.last!, &latencies)
        } else {
            try await task.consume(&latencies)
        }
        latencies.sort()
        let shown = [500, 990, 999, 1000].map { latencies[min(task.records - 1, task.records * $0 / 1000)] }
        print(shown.map { "\(Double($0) / 1000)" }.joined(separator: " "))
    default: throw Failure("unknown role \(words[0])")
    }
} catch {
    let message = "broker-bench: \(error)\n"
    _ = unsafe write(2, message, message.utf8.count)
    exit(1)
}
