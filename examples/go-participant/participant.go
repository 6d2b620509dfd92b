// A payment service that knows docs/wire-contract.md and nothing of kafka-saga: franz-go, and a journal as its database.
// Usage: go run . localhost:9092 payment.commands payment.journal
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

type order struct {
	OrderID    string `json:"order_id"`
	CustomerID string `json:"customer_id"`
	Amount     int64  `json:"amount"`
}

type reply struct {
	Outcome string         `json:"outcome"`
	Effect  string         `json:"effect,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	Body    map[string]any `json:"body"`
}

// One line of the journal is one transaction: what was done, and what was answered. A torn last line never happened.
type entry struct {
	Step   string `json:"step"`
	Phase  string `json:"phase"`
	Epoch  int    `json:"epoch"`
	Amount int64  `json:"amount"`
	Reply  reply  `json:"reply"`
}

type service struct {
	journal *os.File
	answers map[string]entry // by step and phase
}

func open(path string) (*service, error) {
	journal, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s, whole := &service{journal, map[string]entry{}}, int64(0)
	for lines := bufio.NewReader(journal); ; {
		line, err := lines.ReadBytes('\n')
		var e entry
		if err != nil || json.Unmarshal(line, &e) != nil {
			break
		}
		s.answers[e.Step+"/"+e.Phase], whole = e, whole+int64(len(line))
	}
	if err := journal.Truncate(whole); err != nil {
		return nil, err
	}
	_, err = journal.Seek(whole, 0)
	return s, err
}

func (s *service) keep(e entry) error {
	line, err := json.Marshal(e)
	if err == nil {
		_, err = s.journal.Write(append(line, '\n'))
	}
	if err == nil {
		err = s.journal.Sync()
	}
	if err != nil {
		log.Fatal(err) // half a line may be there: start again, and it is cut off
	}
	s.answers[e.Step+"/"+e.Phase] = e
	return nil
}

func charge(e *entry, value []byte) error {
	var body order
	if err := json.Unmarshal(value, &body); err != nil {
		return err
	}
	if body.Amount > 1_000_000 {
		e.Reply = reply{Outcome: "failure", Reason: "rejected", Body: map[string]any{"error": "card declined: over the limit"}}
		return nil
	}
	e.Amount = body.Amount
	e.Reply = reply{Outcome: "success", Body: map[string]any{"charge_id": "charge-" + body.OrderID}}
	return nil
}

func (s *service) answer(kind, commandID string, value []byte) (reply, error) {
	parts := strings.Split(commandID, "/") // order / order-123 / process_payment / forward / 1
	if len(parts) != 5 {
		return reply{}, fmt.Errorf("not the id of a command: %s", commandID)
	}
	epoch, err := strconv.Atoi(parts[4])
	if err != nil {
		return reply{}, err
	}
	e := entry{Step: strings.Join(parts[:3], "/"), Phase: parts[3], Epoch: epoch}
	acted, undone := s.answers[e.Step+"/forward"], s.answers[e.Step+"/compensate"]
	before := s.answers[e.Step+"/"+e.Phase]
	switch {
	case e.Phase == "forward" && undone.Epoch > 0: // it was undone, or given up, before this came
		return reply{Outcome: "failure", Reason: "fenced", Body: map[string]any{"error": "the step was compensated"}}, nil
	case before.Epoch > 0 && (epoch <= before.Epoch || before.Reply.Outcome == "success"):
		return before.Reply, nil // a duplicate: the stored reply, and nothing runs
	case e.Phase == "compensate" && acted.Reply.Outcome != "success":
		e.Reply = reply{Outcome: "success", Effect: "none", Body: map[string]any{}} // it fences a late action
	case kind == "chargePayment":
		if err := charge(&e, value); err != nil {
			return reply{}, err
		}
	case kind == "refundPayment": // found by its step: a step in doubt has no charge id to give
		e.Amount = -acted.Amount
		e.Reply = reply{Outcome: "success", Body: map[string]any{}}
	default:
		return reply{}, fmt.Errorf("unknown command %s", kind)
	}
	return e.Reply, s.keep(e)
}

func (s *service) handle(command *kgo.Record) (*kgo.Record, error) {
	headers := map[string]string{}
	for _, header := range command.Headers {
		headers[header.Key] = string(header.Value)
	}
	told, err := s.answer(headers["ce_type"], headers["ce_id"], command.Value)
	if err != nil { // nothing of the attempt remains: ask again
		told = reply{Outcome: "retry", Body: map[string]any{"error": err.Error()}}
	}
	body, err := json.Marshal(told.Body)
	record := &kgo.Record{Topic: headers["ce_replyto"], Key: command.Key, Value: body}
	for _, header := range [][2]string{
		{"ce_causationid", headers["ce_id"]}, {"ce_sagaattempt", headers["ce_sagaattempt"]},
		{"ce_sagaoutcome", told.Outcome}, {"ce_sagaeffect", told.Effect}, {"ce_sagareason", told.Reason},
	} {
		if header[1] != "" {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: header[0], Value: []byte(header[1])})
		}
	}
	return record, err
}

func run(servers, topic, path string) error {
	s, err := open(path)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(servers, ",")...), kgo.ConsumerGroup(topic), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.RequiredAcks(kgo.AllISRAcks()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	fmt.Println("ready")
	for ctx := context.Background(); ; {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return err
		}
		for _, command := range fetched.Records() {
			record, err := s.handle(command)
			if err == nil {
				err = client.ProduceSync(ctx, record).FirstErr()
			}
			if err == nil { // after the reply: a crash before this line means a duplicate, never a loss
				err = client.CommitRecords(ctx, command)
			}
			if err != nil {
				return err
			}
		}
	}
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: participant SERVERS TOPIC JOURNAL")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}
