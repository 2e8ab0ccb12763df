internal import RDMATransport
internal import TopicProtocol

// From outside to a plan: JOIN_GROUP, SYNC_GROUP, and what the leader does in between.
extension GroupMembership {
    /// The coordinator answers JOIN_GROUP and SYNC_GROUP when all members have come, or their time is up.
    private var patience: UInt64 {
        UInt64(configuration.maxPollIntervalMilliseconds) * 1_000_000 + LinkPatience.answerNanoseconds
    }

    /// Gives up what must not be kept while others are given it, then joins.
    func prepare(_ link: any LinkPort) {
        phase = .preparing
        needsJoin = false
        guard !isCooperative, !owned.isEmpty else { return join(link) }
        let all = owned
        revoke(all) { [self] in
            guard phase == .preparing else { return }
            join(link)
        }
    }

    private func join(_ link: any LinkPort) {
        phase = .joining
        attempt += 1
        let asked = attempt
        let subscription = ConsumerProtocol.Subscription(
            topics: topics, owned: isCooperative ? owned : [], generation: ownedGeneration)
        let metadata = subscription.encoded()
        let request = JoinGroup(
            group: groupID, memberID: memberID, instanceID: configuration.instanceID,
            clientID: configuration.clientID, protocolType: ConsumerProtocol.type,
            protocols: configuration.assignors.map { GroupProtocol(name: $0.rawValue, metadata: metadata) },
            sessionTimeoutMilliseconds: UInt32(configuration.sessionTimeoutMilliseconds),
            rebalanceTimeoutMilliseconds: UInt32(configuration.maxPollIntervalMilliseconds))
        link.ask(.group(.join(request)), timeoutNanoseconds: patience) { [self] result in
            guard asked == attempt, !isLeaving else { return }
            do throws(ClientError) {
                let answer = try parseBody(try result.get()) { reader throws(FrameError) in
                    try JoinGroupAnswer(from: &reader)
                }
                joined(answer, link)
            } catch {
                failed(error, link)
            }
        }
    }

    private func joined(_ answer: JoinGroupAnswer, _ link: any LinkPort) {
        memberID = answer.memberID
        // MEMBER_ID_REQUIRED: join again with the one that was given.
        guard answer.generation >= 0 else { return join(link) }
        generation = answer.generation
        planned = nil
        phase = .syncing
        heartbeatAt = monotonicNanoseconds() + UInt64(configuration.heartbeatIntervalMilliseconds) * 1_000_000
        confirm()
        guard answer.leader == memberID else { return sync(link, answer.protocolName, []) }
        guard let assignor = Assignor(rawValue: answer.protocolName) else {
            let text = "group \(groupID) chose the unknown assignor \(answer.protocolName)"
            return link.fail(ClientError(.protocolViolation, text))
        }
        plan(answer, assignor, link)
    }

    /// The leader's part.
    private func plan(_ answer: JoinGroupAnswer, _ assignor: Assignor, _ link: any LinkPort) {
        let members = answer.members.map { member in
            // Who cannot say what it wants gets nothing.
            GroupMember(
                id: member.memberID, instanceID: member.instanceID,
                subscription: (try? ConsumerProtocol.Subscription(parsing: member.metadata)) ?? .init(topics: []))
        }
        let wanted = Set(members.flatMap(\.subscription.topics))
        let asked = attempt
        agent.countPartitions(wanted, link) { [self] counts in
            guard asked == attempt, !isLeaving else { return }
            guard let counts else { return rejoin() }
            planned = counts
            metadataAt = nextMetadataCheck(after: monotonicNanoseconds())
            watched = wanted
            guard !answer.skipsAssignment else { return sync(link, answer.protocolName, []) }
            let plan = assignor.assign(members, partitionCounts: counts)
            sync(
                link, answer.protocolName,
                plan.map { MemberAssignment(memberID: $0, assignment: ConsumerProtocol.encode(assignment: $1)) })
        }
    }

    private func sync(_ link: any LinkPort, _ protocolName: String, _ assignments: [MemberAssignment]) {
        let request = SyncGroup(
            caller: caller, protocolType: ConsumerProtocol.type, protocolName: protocolName, assignments: assignments)
        let asked = attempt
        link.ask(.group(.sync(request)), timeoutNanoseconds: patience) { [self] result in
            guard asked == attempt, !isLeaving else { return }
            do throws(ClientError) {
                let answer = try parseBody(try result.get()) { reader throws(FrameError) in
                    try SyncGroupAnswer(from: &reader)
                }
                do throws(ConsumerProtocolError) {
                    take(try ConsumerProtocol.parse(assignment: answer.assignment))
                } catch {
                    throw ClientError(.protocolViolation, "the leader's assignment is malformed: \(error)")
                }
            } catch {
                failed(error, link)
            }
        }
    }

    // MARK: New partitions and topics

    private func nextMetadataCheck(after now: UInt64) -> UInt64 {
        now + UInt64(configuration.metadataMaxAgeMilliseconds) * 1_000_000
    }

    /// The leader has the group join again when there is something else to divide.
    func checkMetadata(_ link: any LinkPort, now: UInt64) {
        metadataAt = nextMetadataCheck(after: now)
        let asked = attempt
        agent.countPartitions(watched, link) { [self] counts in
            guard asked == attempt, let counts, let planned, counts != planned else { return }
            needsJoin = true
        }
    }
}
