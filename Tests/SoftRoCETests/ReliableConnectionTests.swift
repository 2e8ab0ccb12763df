import RDMATransport
import Testing
import TransportTestSupport

/// Reliable connections made by hand, within a process and between two.
@Suite(.serialized) struct ReliableConnectionTests {
    @Test(arguments: Placement.allCases) func aMessageArrives(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.far.receive(100, 1000)
        try pair.near.fill(0, 700, seed: 1)
        try pair.near.post(.send, 0, 700) { $0.workID = 9 }
        #expect(try pair.near.success(9).operation == WorkCompletion.Operation.send.rawValue)
        let arrived = try pair.far.success(500)
        #expect(arrived.operation == WorkCompletion.Operation.receive.rawValue)
        #expect(arrived.byteCount == 700)
        #expect(arrived.immediate == nil)
        #expect(arrived.queuePair == pair.far.about.queuePair)
        #expect(try pair.far.bytes(100, 700) == pattern(700, seed: 1))
    }

    @Test(arguments: Placement.allCases) func anEmptyMessageArrives(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.far.receive(0, 100)
        try pair.near.post(.send)
        try pair.near.success()
        #expect(try pair.far.success().byteCount == 0)
    }

    @Test(arguments: Placement.allCases) func anImmediateArrivesWithAMessage(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.far.receive(0, 100)
        try pair.near.post(.sendImmediate, 0, 10) { $0.immediate = 0xdead_beef }
        try pair.near.success()
        #expect(try pair.far.success().immediate == 0xdead_beef)
    }

    @Test(arguments: Placement.allCases) func messagesArriveInOrder(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        for number in 0..<16 { try pair.far.receive(number * 64, 64, workID: UInt64(number)) }
        for number in 0..<16 {
            try pair.near.fill(number * 64, 64, seed: UInt8(number))
            try pair.near.post(.send, number * 64, 64) { $0.workID = UInt64(number) }
        }
        for number in 0..<16 {
            try pair.near.success(UInt64(number))
            try pair.far.success(UInt64(number))
            #expect(try pair.far.bytes(number * 64, 64) == pattern(64, seed: UInt8(number)))
        }
    }

    @Test(arguments: Placement.allCases) func aMessageIsGatheredAndScattered(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.near.fill(0, 300, seed: 4)
        try pair.far.receive([VerbsRun(5000, 10), VerbsRun(6000, 250), VerbsRun(7000, 100)])
        // 300 bytes from three places, in the order 100..<200, 0..<100, 200..<300.
        try pair.near.post(.send) { $0.runs = [VerbsRun(100, 100), VerbsRun(0, 100), VerbsRun(200, 100)] }
        try pair.near.success()
        #expect(try pair.far.success().byteCount == 300)
        let sent = pattern(300, seed: 4)
        let message = Array(sent[100..<200] + sent[..<100] + sent[200...])
        let places = try pair.far.bytes(5000, 10) + pair.far.bytes(6000, 250) + pair.far.bytes(7000, 40)
        #expect(places == message)
    }

    @Test(arguments: Placement.allCases) func aWriteChangesThePeersMemoryOnly(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.near.fill(0, 4000, seed: 2)
        try pair.near.post(.write, 0, 4000) { $0.aim(at: pair.far, 1000) }
        #expect(try pair.near.success().operation == WorkCompletion.Operation.write.rawValue)
        #expect(try pair.far.bytes(1000, 4000) == pattern(4000, seed: 2))
        #expect(try pair.far.bytes(999, 1) == [0])
        #expect(try pair.far.bytes(5000, 1) == [0])
        #expect(try pair.far.poll() == nil)
    }

    @Test(arguments: Placement.allCases) func aWriteWithImmediateTakesAReceive(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.far.receive([], workID: 8)
        try pair.near.fill(0, 100, seed: 3)
        try pair.near.post(.writeImmediate, 0, 100) {
            $0.aim(at: pair.far)
            $0.immediate = 5
        }
        try pair.near.success()
        let arrived = try pair.far.success(8)
        #expect(arrived.operation == WorkCompletion.Operation.receiveOfWrite.rawValue)
        #expect(arrived.immediate == 5)
        #expect(arrived.byteCount == 100)
        #expect(try pair.far.bytes(0, 100) == pattern(100, seed: 3))
    }

    @Test(arguments: Placement.allCases) func aReadCopiesFromThePeer(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.far.fill(0, 9000, seed: 6)
        try pair.near.post(.read, 500, 9000) { $0.aim(at: pair.far) }
        #expect(try pair.near.success().operation == WorkCompletion.Operation.read.rawValue)
        #expect(try pair.near.bytes(500, 9000) == pattern(9000, seed: 6))
        #expect(try pair.far.poll() == nil)
    }

    /// Longer than many packets, shorter than the longest message.
    @Test(arguments: Placement.allCases) func aLargeTransferIsCutIntoPackets(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.near.fill(0, 500_000, seed: 9)
        try pair.near.post(.write, 0, 500_000) { $0.aim(at: pair.far, 7) }
        try pair.near.success()
        #expect(try pair.far.sum(7, 500_000) == checksum(pattern(500_000, seed: 9)))
    }

    @Test(arguments: [256, 512, 1024, 2048, 4096]) func everyPathMTUWorks(_ mtuBytes: Int) throws {
        var path = VerbsEndPath()
        path.mtuBytes = mtuBytes
        let pair = try VerbsPair(.twoProcesses, path: path)
        #expect(try pair.near.perform { .attributes(end: $0) }.byteCount == mtuBytes)
        try pair.near.fill(0, 10_000, seed: 8)
        try pair.near.post(.write, 0, 10_000) { $0.aim(at: pair.far) }
        try pair.near.success()
        #expect(try pair.far.bytes(0, 10_000) == pattern(10_000, seed: 8))
    }

    @Test(arguments: Placement.allCases) func inlineBytesAreCopiedWhilePosting(_ placement: Placement) throws {
        let pair = try VerbsPair(placement) { $0.inlineBytesMax = 200 }
        #expect(pair.near.about.inlineBytesMax >= 200)
        try pair.far.receive(0, 200)
        try pair.near.fill(0, 200, seed: 1)
        try pair.near.post(.send, 0, 200) { $0.isInline = true }
        try pair.near.fill(0, 200, seed: 2)
        try pair.near.success()
        try pair.far.success()
        #expect(try pair.far.bytes(0, 200) == pattern(200, seed: 1))
    }

    @Test(arguments: Placement.allCases) func onlySignaledRequestsComplete(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        var posts = (1...8).map { number in
            var post = VerbsPost(.write)
            post.workID = UInt64(number)
            post.runs = [VerbsRun(0, 8)]
            post.flags = number == 8 ? SendFlags.signaled.rawValue : 0
            post.aim(at: pair.far, number * 8)
            return post
        }
        #expect(try pair.near.post(posts) == "posted")
        try pair.near.success(8)
        #expect(try pair.near.poll() == nil)
        // The signaled one vouches for those before it: their places in the queue are free again.
        posts[7].workID = 9
        #expect(try pair.near.post(posts) == "posted")
        try pair.near.success(9)
    }

    @Test(arguments: Placement.allCases) func everythingSignalsWhenAskedTo(_ placement: Placement) throws {
        let pair = try VerbsPair(placement) { $0.signalsAll = true }
        for number in 1...3 {
            try pair.near.post(.write, 0, 8) {
                $0.workID = UInt64(number)
                $0.flags = 0
                $0.aim(at: pair.far)
            }
        }
        for number in 1...3 { try pair.near.success(UInt64(number)) }
    }

    /// A fenced write waits for the read before it.
    @Test(arguments: Placement.allCases) func aFenceWaitsForReads(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.far.fill(0, 8, seed: 5)
        var read = VerbsPost(.read)
        read.runs = [VerbsRun(0, 8)]
        read.aim(at: pair.far)
        var write = VerbsPost(.write)
        write.runs = [VerbsRun(0, 8)]
        write.flags = SendFlags([.signaled, .fence]).rawValue
        write.workID = 2
        write.aim(at: pair.far, 100)
        #expect(try pair.near.post([read, write]) == "posted")
        try pair.near.success(1)
        try pair.near.success(2)
        // What was read, not what the buffer held before.
        #expect(try pair.far.bytes(100, 8) == pattern(8, seed: 5))
    }
}
