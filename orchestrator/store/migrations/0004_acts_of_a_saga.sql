-- What operators did to one saga, newest first, is asked whenever somebody looks at it: without this every act is read.
CREATE INDEX acts_saga ON acts (saga_id, act_seq);
