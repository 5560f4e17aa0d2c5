-- Notes that requests are about to be made. ARGV: whether this may have been sent before; then delivery, attempt, lease for
-- each. Answers 1 where it may be made.
local p, resent = KEYS[1], ARGV[1] == '1'
local answers = {}
for i = 2, #ARGV, 3 do
  local key, attempt = p .. ':d:' .. ARGV[i], tonumber(ARGV[i + 1])
  local row = redis.call('HMGET', key, 's', 'a', 'l')
  local open = (row[1] == 'queued' or row[1] == 'sending') and row[3] == ARGV[i + 2]
  local begun = tonumber(row[2] or 0)
  if open and begun == attempt - 1 then
    redis.call('HSET', key, 's', 'sending', 'a', attempt, 'z', row[1])
    answers[#answers + 1] = 1
  elseif open and resent and row[1] == 'sending' and begun == attempt then
    -- Written once more, so that a WAIT on a new connection waits for it.
    redis.call('HSET', key, 'a', attempt)
    answers[#answers + 1] = 1
  else
    answers[#answers + 1] = 0
  end
end
return answers
