// A bot on grammY, by long polling or as a webhook.
// node grammy_bot.cjs NODE_MODULES API_ROOT (poll | PORT) [SECRET]; the token is in BOT_TOKEN.
"use strict";
const [modules, apiRoot, mode, secretToken] = process.argv.slice(2);
const { Bot, InlineKeyboard, InputFile, InputMediaBuilder, GrammyError, webhookCallback } =
  require(`${modules}/grammy`);
const { autoRetry } = require(`${modules}/@grammyjs/auto-retry`);

const bot = new Bot(process.env.BOT_TOKEN, { client: { apiRoot } });
bot.api.config.use(autoRetry());
const allowed = ["message", "edited_message", "callback_query", "message_reaction", "my_chat_member"];
const PNG = Buffer.from("89504e470d0a1a0a0000000d49484452", "hex");

bot.command("start", (ctx) =>
  ctx.reply("<b>Ready</b>?", {
    parse_mode: "HTML",
    reply_parameters: { message_id: ctx.msgId },
    reply_markup: new InlineKeyboard().text("Yes", "answer:yes").url("Help", "https://example.com"),
  }));
bot.callbackQuery("answer:yes", async (ctx) => {
  await ctx.answerCallbackQuery({ text: "Noted", show_alert: true });
  await ctx.editMessageText("*Said* yes\\.", { parse_mode: "MarkdownV2" });
});
bot.on("message:photo", async (ctx) => {
  const file = await ctx.getFile();
  const down = await fetch(`${apiRoot}/file/bot${bot.token}/${file.file_path}`);
  const bytes = Buffer.from(await down.arrayBuffer());
  await ctx.replyWithDocument(new InputFile(bytes, "back.png"), { caption: `${bytes.length} bytes` });
});
bot.on("message:voice", (ctx) => ctx.replyWithVoice(ctx.msg.voice.file_id));
bot.on("message:location", (ctx) =>
  ctx.replyWithVenue(ctx.msg.location.latitude, ctx.msg.location.longitude, "There", "Street 1"));
bot.hears("album", (ctx) =>
  ctx.replyWithMediaGroup([
    InputMediaBuilder.photo(new InputFile(PNG, "1.png"), { caption: "one" }),
    InputMediaBuilder.photo(new InputFile(PNG, "2.png")),
  ]));
bot.hears("react", (ctx) => ctx.react("👍"));
bot.hears("type", (ctx) => ctx.replyWithChatAction("typing"));
bot.hears("burst", async (ctx) => {
  for (const n of [1, 2, 3]) await ctx.reply(`burst ${n}`);
});
bot.hears("forget", (ctx) => ctx.deleteMessage());
bot.hears("crash", async (ctx) => {
  if (process.env.CRASH) process.kill(process.pid, "SIGKILL");
  await ctx.reply("survived");
});
bot.hears(/^send to (-\d+)$/, async (ctx) => {
  try {
    await ctx.api.sendMessage(Number(ctx.match[1]), "hello?");
  } catch (error) {
    if (!(error instanceof GrammyError)) throw error;
    await ctx.reply(`${error.error_code} ${error.description} ${error.parameters.migrate_to_chat_id}`);
  }
});
bot.hears(/^topic (.+)$/, async (ctx) => {
  const topic = await ctx.createForumTopic(ctx.match[1]);
  await ctx.api.sendMessage(ctx.chatId, "welcome", { message_thread_id: topic.message_thread_id });
});
bot.hears("ping", (ctx) => ctx.reply("pong"));
bot.on("edited_message:text", (ctx) => ctx.reply(`edited to ${ctx.msg.text}`));
bot.on("message_reaction", (ctx) => {
  const { emojiAdded } = ctx.reactions();
  return ctx.reply(`reacted ${emojiAdded.join()}`);
});

async function main() {
  await bot.api.setMyCommands([{ command: "start", description: "Begin" }]);
  if (mode === "poll") return bot.start({ allowed_updates: allowed });
  const handle = webhookCallback(bot, "http", { secretToken });
  require("http").createServer(handle).listen(Number(mode), "127.0.0.1", async () => {
    const url = `http://127.0.0.1:${mode}/hook`;
    await bot.api.setWebhook(url, { secret_token: secretToken, allowed_updates: allowed });
  });
}
main();
